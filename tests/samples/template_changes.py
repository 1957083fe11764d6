"""A change of each field that a VirtualMachine's template may have: for tests of what a running guest makes of them.

A field is a path down to the first list, which is compared as a whole. Each change is a merge patch of the template's
spec on top of a guest that boots a kernel and has one interface and one disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
LIVE = ("affinity", "nodeSelector", "tolerations")


@dataclass(frozen=True, slots=True)
class Change:
    """One value for a field. `beside`: what must change with it, since the two are only admitted together."""

    field: str
    value: Any
    beside: tuple[tuple[str, Any], ...] = ()
    applied: bool = True
    """Whether it is part of the template that all changes make together."""

    @property
    def patch(self) -> Spec:
        """The merge patch of the template's spec."""
        result: Spec = {}
        for path, value in ((self.field, self.value), *self.beside):
            target = result
            *above, last = path.split(".")
            for key in above:
                target = target.setdefault(key, {})
            target[last] = value
        return result


def _apart(field: str, value: Any, *beside: tuple[str, Any]) -> Change:
    """A change that excludes others, or without which the guest starts on every cluster."""
    return Change(field, value, beside, applied=False)


_DISKS = [{"name": "data", "disk": {"bus": "scsi"}, "serial": "changed"}]
_INTERFACES = [
    {"name": "default", "masquerade": {}, "model": "e1000", "macAddress": "02:00:00:00:00:01", "ports": [{"port": 80}]}
]
_BIOS, _EFI = "domain.firmware.bootloader.bios", "domain.firmware.bootloader.efi"
_CONTAINER, _TIMER = "domain.firmware.kernelBoot.container", "domain.clock.timer"
_NOT_SECURE = (f"{_EFI}.secureBoot", False), ("domain.memory.guest", "256Mi")
_EXEC = {"command": ["true"]}
_KEY = {"source": {"secret": {"secretName": "k"}}, "propagationMethod": {"qemuGuestAgent": {"users": ["root"]}}}


def _devices() -> Iterator[Change]:
    above = "domain.devices"
    yield Change(f"{above}.disks", _DISKS)
    yield Change(f"{above}.interfaces", _INTERFACES)
    yield Change(f"{above}.inputs", [{"name": "tablet", "type": "tablet", "bus": "usb"}])
    yield _apart(f"{above}.watchdog.name", "dog", (f"{above}.watchdog.i6300esb", {}))
    yield _apart(f"{above}.watchdog.i6300esb.action", "poweroff", (f"{above}.watchdog.name", "dog"))
    yield Change(f"{above}.rng", {})
    yield Change(f"{above}.tpm.enabled", False)
    yield _apart(f"{above}.video.type", "vga")
    yield _apart(f"{above}.autoattachPodInterface", True)
    for name in ("SerialConsole", "MemBalloon", "InputDevice", "GraphicsDevice"):
        yield Change(f"{above}.autoattach{name}", name in ("SerialConsole", "InputDevice"))
    yield Change(f"{above}.logSerialConsole", False)
    yield Change(f"{above}.disableHotplug", False)
    for name in ("blockMultiQueue", "networkInterfaceMultiqueue", "useVirtioTransitional"):
        yield Change(f"{above}.{name}", True)


def _domain() -> Iterator[Change]:
    yield Change("domain.cpu.sockets", 2)
    yield Change("domain.cpu.cores", 1)
    yield Change("domain.cpu.threads", 1)
    yield Change("domain.cpu.model", "Westmere")
    yield Change("domain.cpu.features", [{"name": "aes", "policy": "optional"}])
    yield _apart("domain.cpu.dedicatedCpuPlacement", False)
    yield _apart("domain.cpu.isolateEmulatorThread", False)
    yield Change("domain.memory.guest", "160Mi")
    yield _apart("domain.memory.hugepages.pageSize", "2Mi")
    yield Change("domain.resources.requests", {"cpu": "50m"})
    yield Change("domain.resources.limits", {"memory": "1Gi"})
    yield _apart("domain.resources.overcommitGuestOverhead", False)
    yield Change("domain.machine.type", "pc-q35-7.2")
    for name in ("manufacturer", "version", "serial", "asset", "sku"):
        yield Change(f"domain.chassis.{name}", "Changed 1")
    yield Change("domain.clock.utc.offsetSeconds", 3600)
    yield _apart("domain.clock.timezone", "Europe/Berlin")
    for name in ("hpet", "pit", "rtc", "kvm", "hyperv"):
        yield Change(f"{_TIMER}.{name}.present", name in ("pit", "rtc"))
    yield Change(f"{_TIMER}.pit.tickPolicy", "delay")
    yield _apart(f"{_TIMER}.hpet.tickPolicy", "delay")
    yield Change(f"{_TIMER}.rtc.tickPolicy", "catchup")
    yield _apart(f"{_TIMER}.rtc.track", "guest")
    for name in ("acpi", "apic", "pvspinlock", "smm"):
        yield Change(f"domain.features.{name}.enabled", True)
    yield Change("domain.features.apic.endOfInterrupt", True)
    yield Change("domain.features.kvm.hidden", True)


def _firmware() -> Iterator[Change]:
    yield Change("domain.firmware.uuid", "5d307ca9-b3ef-428c-8861-06e72d69f223")
    yield Change("domain.firmware.serial", "changed-1")
    yield Change(f"{_BIOS}.useSerial", True)
    yield _apart(f"{_EFI}.secureBoot", False, *_NOT_SECURE[1:])
    yield _apart(f"{_EFI}.persistent", False, *_NOT_SECURE)
    yield _apart(f"{_CONTAINER}.image", "registry.test/kernel:2")
    yield _apart(f"{_CONTAINER}.kernelPath", "/boot/other")
    yield _apart(f"{_CONTAINER}.initrdPath", "/boot/other")
    yield Change(f"{_CONTAINER}.imagePullPolicy", "Always")
    yield _apart(f"{_CONTAINER}.imagePullSecret", "pull")
    yield Change("domain.firmware.kernelBoot.kernelArgs", "console=ttyS0 quiet no_timer_check ticks=off changed=1")


def _pod() -> Iterator[Change]:
    term = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    spread = {"maxSkew": 5, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    yield Change("affinity", {"nodeAffinity": required})
    yield Change("nodeSelector", {"kubernetes.io/os": "linux"})
    yield Change("tolerations", [{"key": "example.com/busy", "operator": "Exists"}])
    yield Change("topologySpreadConstraints", [{**spread, "labelSelector": {"matchLabels": {"app": "none"}}}])
    yield Change("networks", [{"name": "default", "pod": {"vmNetworkCIDR": "10.9.8.0/24"}}])
    yield Change("volumes", [{"name": "data", "emptyDisk": {"capacity": "2Mi"}}])
    yield Change("terminationGracePeriodSeconds", 1)
    yield _apart("architecture", "")
    yield Change("hostname", "changed")
    yield Change("subdomain", "changed")
    yield Change("dnsPolicy", "Default")
    yield Change("dnsConfig", {"searches": ["example.com"]})
    yield Change("evictionStrategy", "None")
    yield _apart("startStrategy", "Paused")
    yield _apart("priorityClassName", "high")
    yield _apart("schedulerName", "other")
    yield _apart("accessCredentials", [{"sshPublicKey": _KEY}])
    for probe in ("livenessProbe", "readinessProbe"):
        yield _apart(f"{probe}.exec", _EXEC)
        yield _apart(f"{probe}.httpGet", {"port": 80})
        yield _apart(f"{probe}.tcpSocket", {"port": 80})
        yield _apart(f"{probe}.guestAgentPing", {})
        for name in ("initialDelay", "timeout", "period"):
            yield _apart(f"{probe}.{name}Seconds", 7, (f"{probe}.exec", _EXEC))
        yield _apart(f"{probe}.successThreshold", 1, (f"{probe}.exec", _EXEC))
        yield _apart(f"{probe}.failureThreshold", 7, (f"{probe}.exec", _EXEC))


CHANGES = (*_devices(), *_domain(), *_firmware(), *_pod())


def fields(paths: list[str]) -> set[str]:
    """The fields among paths of supported fields: those with nothing below them, lists as a whole."""
    known = {path.partition("[]")[0] for path in paths}
    return {path for path in known if not any(other.startswith(f"{path}.") for other in known)}

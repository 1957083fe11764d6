"""From any accepted spec to the machine and the domain that the services make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2
from msgspec import Raw
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectMeta
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.translate.machine import machine
from virt_handler.network.plan import PodNetwork
from virt_launcher.domain.files import DomainFiles

from tests.samples.vmis import Spec

POD = PodNetwork(1450, ("10.244.1.7",))
META = ObjectMeta("g", "default", uid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f")
NONE = Configuration()
FILES = DomainFiles.below(Path("/private"))
# All that may be in a domain. Whoever adds one says that it is meant.
ELEMENTS = frozenset(
    [
        "acpi",
        "address",
        "alias",
        "apic",
        "backend",
        "backingStore",
        "bios",
        "blockio",
        "boot",
        "channel",
        "chassis",
        "clock",
        "cmdline",
        "console",
        "controller",
        "cpu",
        "devices",
        "disk",
        "domain",
        "driver",
        "emulator",
        "encryption",
        "entry",
        "feature",
        "features",
        "format",
        "graphics",
        "hidden",
        "hugepages",
        "initrd",
        "input",
        "interface",
        "iothreads",
        "kernel",
        "kvm",
        "link",
        "listen",
        "loader",
        "log",
        "mac",
        "memballoon",
        "memory",
        "memoryBacking",
        "model",
        "mtu",
        "name",
        "nvram",
        "on_crash",
        "on_poweroff",
        "on_reboot",
        "os",
        "page",
        "panic",
        "protocol",
        "pvspinlock",
        "readonly",
        "rng",
        "rom",
        "serial",
        "shareable",
        "smbios",
        "smm",
        "source",
        "stats",
        "sysinfo",
        "system",
        "target",
        "tb-cache",
        "tcg",
        "timer",
        "title",
        "topology",
        "type",
        "uuid",
        "vcpu",
        "video",
        "watchdog",
    ]
)


def claim(mode: str) -> Spec:
    """What the controller wrote of one."""
    size = {"storage": "1Gi"}
    return {
        "claimName": "claim", "volumeMode": mode, "accessModes": ["ReadWriteOnce"], "capacity": size, "requests": size,
        "filesystemOverhead": "0.055",
    }  # fmt: skip


def vmi(spec: Spec) -> VirtualMachineInstance:
    """The object as the handler sees it, with what the controller wrote of its claims."""
    luns = {disk["name"] for disk in spec["domain"]["devices"].get("disks", []) if "lun" in disk}
    volumes = [
        {"name": name, "target": "", "persistentVolumeClaimInfo": claim("Block" if name in luns else "Filesystem")}
        for name in (volume["name"] for volume in spec.get("volumes", []))
    ]
    return VirtualMachineInstance(META, Raw(json.dumps(spec).encode())).with_status({"volumeStatus": volumes})


def translated(spec: Spec, *, emulation: bool) -> machine_pb2.Machine:
    made = vmi(spec)
    # Any CPU model, which a cluster that emulates would refuse.
    return machine(made, replace(accept(made.raw_spec, NONE), emulated=emulation), POD)

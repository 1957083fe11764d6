"""What a VirtualMachineInstance may say: each rule refuses by field, value and what is allowed, all of them at once."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from virt_core.objects.kubevirt import ArchitectureConfiguration, ArchitectureConfigurations, Configuration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import parse_spec
from virt_core.vmi.rules.check import spec_refusals

Change = dict[str, Any]
MINIMAL: Change = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
POD = {"name": "default", "pod": {}}
MASQUERADE = {"name": "default", "masquerade": {}}
CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}
TEXT = base64.b64encode(b"#cloud-config\n").decode()


def refusals(change: Change, configuration: Configuration | None = None) -> tuple[Refusal, ...]:
    """What is wrong with the minimal spec after a merge patch."""
    spec = parse_spec(msgspec.Raw(json.dumps(merge_patch(MINIMAL, change)).encode()))
    return spec_refusals(spec, configuration or Configuration())


def domain(**change: Any) -> Change:
    return {"domain": change}


def devices(**change: Any) -> Change:
    return domain(devices=change)


def disk(volume: Change | None = None, **change: Any) -> Change:
    """A disk "d" on a claim, or on another source."""
    return {**devices(disks=[{"name": "d", **change}]), "volumes": [{"name": "d", **(volume or CLAIM)}]}


def volume(**source: Any) -> Change:
    return {"volumes": [{"name": "v", **source}]}


def cloud(**source: Any) -> Change:
    return volume(cloudInitNoCloud=source)


def interface(**change: Any) -> Change:
    return {**devices(interfaces=[{**MASQUERADE, **change}]), "networks": [POD]}


def cidr(text: str, **binding: Any) -> Change:
    network = {"name": "default", "pod": {"vmNetworkCIDR": text}}
    return {**devices(interfaces=[{"name": "default", **(binding or {"masquerade": {}})}]), "networks": [network]}


def resources(**change: Any) -> Change:
    return domain(resources=change)


def efi(**change: Any) -> Change:
    return domain(firmware={"bootloader": {"efi": change}})


def uefi_kernel(memory: str) -> Change:
    kernel = {"container": {"image": "i", "kernelPath": "/k"}}
    firmware = {"bootloader": {"efi": {"secureBoot": False}}, "kernelBoot": kernel}
    return domain(memory={"guest": memory}, firmware=firmware)


def probe(**change: Any) -> Change:
    return {"readinessProbe": change}


ACCEPTED: dict[str, Change] = {
    "nothing": {},
    "topology": domain(cpu={"sockets": 2, "cores": 4, "threads": 2, "model": "host-model"}),
    "64 vCPUs": domain(cpu={"cores": 64}),
    "cpu features": domain(cpu={"features": [{"name": "aes"}, {"name": "vmx", "policy": "disable"}]}),
    "dedicated CPUs switched off": domain(cpu={"dedicatedCpuPlacement": False, "isolateEmulatorThread": False}),
    "requests and limits": resources(requests={"cpu": "500m", "memory": "64Mi"}, limits={"cpu": 1, "memory": "1Gi"}),
    "huge pages": domain(memory={"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}),
    "memory of one huge page": domain(memory={"guest": None, "hugepages": {"pageSize": "1Gi"}}),
    "machine types": domain(machine={"type": "pc-q35-7.2"}),
    "uefi": efi(secureBoot=False),
    "uefi and a kernel with the least memory": uefi_kernel("160Mi"),
    "bios": domain(
        firmware={"bootloader": {"bios": {"useSerial": True}}, "uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223"}
    ),
    "chassis": domain(chassis={"manufacturer": "Some (one) Ltd.", "sku": "a/b-1"}),
    "an offset": domain(clock={"utc": {"offsetSeconds": -3600}, "timer": {"hpet": {"present": False}}}),
    "a time zone": domain(clock={"timezone": "America/Argentina/Buenos_Aires"}),
    "timers": domain(
        clock={"timer": {"rtc": {"tickPolicy": "catchup", "track": "guest"}, "pit": {"tickPolicy": "delay"}}}
    ),
    "features": domain(features={"acpi": {}, "apic": {"endOfInterrupt": True}, "kvm": {"hidden": True}, "smm": {}}),
    "no acpi": domain(features={"acpi": {"enabled": False}}),
    "a disk": disk(disk={"bus": "virtio", "readonly": True}, bootOrder=1, cache="none", io="native", serial="A.b_c-1+"),
    "a disk without a target": disk(),
    "a CD": disk(cdrom={"bus": "sata", "readonly": True, "tray": "open"}),
    "a lun": disk(lun={"bus": "scsi"}),
    "a shared claim": disk(disk={}, shareable=True, errorPolicy="report"),
    "an I/O thread": disk(disk={"bus": "virtio"}, dedicatedIOThread=True),
    "block sizes": disk(blockSize={"custom": {"logical": 512, "physical": 4096}}),
    "a volume without a disk": volume(**CLAIM),
    "a container disk": volume(containerDisk={"image": "registry:5000/a/b:tag@sha256:0123", "path": "/disk/a.img"}),
    "an empty disk": volume(emptyDisk={"capacity": "1Gi"}),
    "an ephemeral claim": volume(ephemeral=CLAIM),
    "inline cloud-init": cloud(userData="x" * 2048, networkDataBase64=TEXT),
    "cloud-init of a Secret": cloud(secretRef={"name": "s"}),
    "network data alone": cloud(networkData="version: 2"),
    "objects": {
        "volumes": [
            {"name": "a", "configMap": {"name": "a.b", "volumeLabel": "LABEL"}},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "serviceAccount": {"serviceAccountName": "default"}},
            {"name": "d", "downwardAPI": {"fields": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]
    },
    "a bridge": devices(interfaces=[{"name": "default", "bridge": {}, "model": "e1000e"}]),
    "an interface": interface(macAddress="02-00-00-00-00-0A", acpiIndex=3, state="down", bootOrder=2),
    "ports": interface(ports=[{"port": 53}, {"port": 53, "protocol": "UDP", "name": "dns"}]),
    "an own network": cidr("192.168.5.0/24"),
    "a watchdog": devices(watchdog={"name": "w", "i6300esb": {"action": "poweroff"}}),
    "a tablet": devices(inputs=[{"name": "tablet", "type": "tablet", "bus": "virtio"}]),
    "a card": devices(video={"type": "virtio"}),
    "tpm switched off": devices(tpm={"enabled": False}),
    "probes": {
        "livenessProbe": {"guestAgentPing": {}, "successThreshold": 1},
        "readinessProbe": {"tcpSocket": {"port": 22}, "periodSeconds": 5},
    },
    "a probe of a named port": {**interface(ports=[{"port": 80, "name": "http"}]), **probe(httpGet={"port": "http"})},
    "a command as probe": probe(exec={"command": ["cat", "/ready"]}),
    "scheduling": {"nodeSelector": {"example.com/disk": "ssd"}, "priorityClassName": "high", "schedulerName": "own"},
    "names": {"hostname": "web-1", "subdomain": "web"},
    "own name servers": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}},
    "strategies": {"startStrategy": "Paused", "evictionStrategy": "LiveMigrateIfPossible"},
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_this_release_does_is_accepted(change: Change) -> None:
    assert refusals(change) == ()


# Each refused alone: the change, the field, and words of the message.
REFUSED: list[tuple[Change, str, str]] = [
    (domain(cpu={"cores": 65}), "domain.cpu.cores", "65 is not allowed, use 1 to 64"),
    (domain(cpu={"threads": -1}), "domain.cpu.threads", "-1 is not allowed"),
    (resources(limits={"cpu": "65"}), "domain.cpu", "'65x1x1 vCPUs'"),
    (domain(cpu={"model": "a b"}), "domain.cpu.model", "'a b' is not allowed, use host-model, host-passthrough"),
    (domain(cpu={"model": "m" * 65}), "domain.cpu.model", "a model's name"),
    (domain(cpu={"features": [{"name": "<x/>"}]}), "domain.cpu.features[0].name", "'<x/>'"),
    (domain(cpu={"features": [{"name": "a"}, {"name": "a"}]}), "domain.cpu.features[1].name", "no other has"),
    (domain(cpu={"features": [{"name": "a", "policy": "on"}]}), "domain.cpu.features[0].policy", "force or require"),
    (domain(cpu={"dedicatedCpuPlacement": True}), "domain.cpu.dedicatedCpuPlacement", "True is not allowed, use false"),
    (domain(cpu={"isolateEmulatorThread": True}), "domain.cpu.isolateEmulatorThread", "use false"),
    (domain(memory={"guest": "1k"}), "domain.memory.guest", "at least 1Mi"),
    (domain(memory={"guest": "9E"}), "domain.memory.guest", "at most 1Pi"),
    (domain(memory={"guest": -5}), "domain.memory.guest", "-5"),
    (
        domain(memory={"hugepages": {"pageSize": "4Mi"}}),
        "domain.memory.hugepages.pageSize",
        "'4Mi' is not allowed, use 2Mi",
    ),
    (
        domain(memory={"hugepages": {"pageSize": "1Gi"}}),
        "domain.memory.hugepages.pageSize",
        "divides the guest's memory",
    ),
    (
        resources(requests={"memory": "much"}),
        "domain.resources.requests.memory",
        "'much' is not allowed, use a quantity",
    ),
    (resources(limits={"cpu": "-1"}), "domain.resources.limits.cpu", "'-1'"),
    (resources(requests={"a b": 1}), "domain.resources.requests", "'a b' is not allowed, use a qualified name"),
    (resources(requests={"hugepages-2Mi": "64Mi"}), "domain.resources.requests", "use spec.domain.memory.hugepages"),
    (resources(requests={"cpu": 2}, limits={"cpu": 1}), "domain.resources.requests.cpu", "at most the limit, 1"),
    (resources(limits={"memory": "32Mi"}), "domain.memory.guest", "at most spec.domain.resources.limits.memory, 32Mi"),
    (domain(machine={"type": "pc"}), "domain.machine.type", "'pc' is not allowed, use q35"),
    (domain(firmware={"uuid": "x"}), "domain.firmware.uuid", "'x' is not allowed, use a UUID"),
    (domain(firmware={"serial": "a<b"}), "domain.firmware.serial", "'a<b'"),
    (
        domain(firmware={"bootloader": {"bios": {}, "efi": {"secureBoot": False}}}),
        "domain.firmware.bootloader",
        "one of",
    ),
    (efi(), "domain.firmware.bootloader.efi.secureBoot", "'nothing, which means true,' is not allowed, use false"),
    (efi(secureBoot=True), "domain.firmware.bootloader.efi.secureBoot", "True is not allowed, use false"),
    (efi(secureBoot=False, persistent=True), "domain.firmware.bootloader.efi.persistent", "use false"),
    (
        {**merge_patch(efi(secureBoot=False), domain(features={"acpi": {"enabled": False}}))},
        "domain.features.acpi.enabled",
        "UEFI needs ACPI",
    ),
    (
        merge_patch(efi(secureBoot=False), domain(memory={"guest": "63Mi"})),
        "domain.memory.guest",
        "'63Mi' is not allowed, use at least 64Mi with UEFI",
    ),
    (
        uefi_kernel("159Mi"),
        "domain.memory.guest",
        "'159Mi' is not allowed, use at least 160Mi with UEFI and kernelBoot",
    ),
    (
        domain(
            memory=None,
            resources={"requests": {"memory": "32Mi"}},
            firmware={"bootloader": {"efi": {"secureBoot": False}}},
        ),
        "domain.resources.requests.memory",
        "'32Mi' is not allowed, use at least 64Mi with UEFI",
    ),
    (domain(firmware={"kernelBoot": {"kernelArgs": "x"}}), "domain.firmware.kernelBoot.container", "an image"),
    (
        domain(firmware={"kernelBoot": {"container": {"image": "i", "kernelPath": "/../k"}}}),
        "domain.firmware.kernelBoot.container.kernelPath",
        "an absolute path",
    ),
    (
        domain(firmware={"kernelBoot": {"container": {"image": "i", "kernelPath": "/k"}, "kernelArgs": "a\n"}}),
        "domain.firmware.kernelBoot.kernelArgs",
        "printable ASCII",
    ),
    (
        merge_patch(
            domain(firmware={"bootloader": {"bios": {"useSerial": True}}}), devices(autoattachSerialConsole=False)
        ),
        "domain.firmware.bootloader.bios.useSerial",
        "false without autoattachSerialConsole",
    ),
    (
        domain(features={"apic": {"enabled": False, "endOfInterrupt": True}}),
        "domain.features.apic.endOfInterrupt",
        "false without an APIC",
    ),
    (domain(chassis={"asset": "&"}), "domain.chassis.asset", "'&'"),
    (
        domain(clock={"utc": {}, "timezone": "UTC"}),
        "domain.clock",
        "'utc and timezone' is not allowed, use one of them",
    ),
    (domain(clock={"timezone": "../etc"}), "domain.clock.timezone", "a time zone"),
    (domain(clock={"utc": {"offsetSeconds": 1 << 31}}), "domain.clock.utc.offsetSeconds", "2147483648"),
    (
        domain(clock={"timer": {"rtc": {"tickPolicy": "merge"}}}),
        "domain.clock.timer.rtc.tickPolicy",
        "delay or catchup",
    ),
    (domain(clock={"timer": {"pit": {"tickPolicy": "merge"}}}), "domain.clock.timer.pit.tickPolicy", "delay or"),
    (domain(clock={"timer": {"hpet": {"tickPolicy": "x"}}}), "domain.clock.timer.hpet.tickPolicy", "delay or"),
    (domain(clock={"timer": {"rtc": {"track": "boot"}}}), "domain.clock.timer.rtc.track", "guest or wall"),
    (devices(disks=[{"name": "d"}]), "domain.devices.disks[0].name", "the name of a volume: there is none"),
    (disk(disk={}, cdrom={}), "domain.devices.disks[0]", "'disk and cdrom' is not allowed, use one of"),
    (disk(disk={"bus": "ide"}), "domain.devices.disks[0].disk.bus", "virtio or sata or scsi or usb"),
    (disk(cdrom={"bus": "virtio"}), "domain.devices.disks[0].cdrom.bus", "sata or scsi"),
    (disk(cdrom={"tray": "ajar"}), "domain.devices.disks[0].cdrom.tray", "open or closed"),
    (disk(cdrom={"readonly": False}), "domain.devices.disks[0].cdrom.readonly", "use true"),
    (disk(lun={"bus": "sata"}), "domain.devices.disks[0].lun.bus", "'sata' is not allowed, use scsi"),
    (disk(lun={}, serial="s"), "domain.devices.disks[0].serial", "'s' is not allowed, use none: a lun tells its own"),
    (disk({"emptyDisk": {"capacity": "1Gi"}}, lun={}), "domain.devices.disks[0].lun", "persistentVolumeClaim"),
    (disk({"emptyDisk": {"capacity": "1Gi"}}, shareable=True), "domain.devices.disks[0].shareable", "use false"),
    (disk(disk={"bus": "sata"}, dedicatedIOThread=True), "domain.devices.disks[0].dedicatedIOThread", "bus: virtio"),
    (disk(cache="unsafe"), "domain.devices.disks[0].cache", "none or writethrough or writeback"),
    (
        disk(disk={"readonly": True}),
        "domain.devices.disks[0].disk.bus",
        "'sata' is not allowed, use virtio, scsi or usb",
    ),
    (
        disk({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, disk={"bus": "sata"}),
        "domain.devices.disks[0].disk.bus",
        "nothing on SATA is read-only but a cdrom",
    ),
    (
        volume(persistentVolumeClaim={"claimName": "c", "readOnly": True}),
        "volumes[0].persistentVolumeClaim.readOnly",
        "use false, or a disk of that name",
    ),
    (disk(io="io_uring"), "domain.devices.disks[0].io", "native or threads"),
    (disk(io="native", cache="writeback"), "domain.devices.disks[0].cache", "none with io: native"),
    (disk(errorPolicy="retry"), "domain.devices.disks[0].errorPolicy", "stop or report"),
    (disk(serial="a b"), "domain.devices.disks[0].serial", "256 letters"),
    (disk(serial="a" * 257), "domain.devices.disks[0].serial", "256 letters"),
    (disk(bootOrder=0), "domain.devices.disks[0].bootOrder", "0 is not allowed, use 1 to"),
    (disk(blockSize={}), "domain.devices.disks[0].blockSize.custom", "logical and physical"),
    (
        disk(disk={"bus": "scsi"}, blockSize={"custom": {"logical": 1000, "physical": 4096}}),
        "domain.devices.disks[0].blockSize.custom.logical",
        "a power of two",
    ),
    (
        disk(disk={"bus": "scsi"}, blockSize={"custom": {"logical": 4096, "physical": 512}}),
        "domain.devices.disks[0].blockSize.custom.logical",
        "at most the physical size",
    ),
    (
        {
            **devices(disks=[{"name": "d", "bootOrder": 1}], interfaces=[{**MASQUERADE, "bootOrder": 1}]),
            "volumes": [{"name": "d", **CLAIM}],
        },
        "domain.devices.interfaces[0].bootOrder",
        "disks[0] does not have",
    ),
    ({"volumes": [{"name": "a", **CLAIM}, {"name": "a", **CLAIM}]}, "volumes[1].name", "one that no other has"),
    ({"volumes": [{"name": "../x", **CLAIM}]}, "volumes[0].name", "a DNS label"),
    (volume(), "volumes[0]", "exactly one of containerDisk"),
    (volume(emptyDisk={"capacity": 512}, **CLAIM), "volumes[0]", "'emptyDisk and persistentVolumeClaim'"),
    (volume(containerDisk={"image": ""}), "volumes[0].containerDisk.image", "the reference of an image"),
    (volume(containerDisk={"image": "i", "path": "disk.img"}), "volumes[0].containerDisk.path", "an absolute path"),
    (volume(containerDisk={"image": "i", "path": "/a/../b"}), "volumes[0].containerDisk.path", "without . and .."),
    (
        volume(containerDisk={"image": "i", "imagePullPolicy": "Once"}),
        "volumes[0].containerDisk.imagePullPolicy",
        "Always",
    ),
    (
        volume(containerDisk={"image": "i", "imagePullSecret": "S"}),
        "volumes[0].containerDisk.imagePullSecret",
        "a name",
    ),
    (cloud(), "volumes[0].cloudInitNoCloud", "userData, userDataBase64, secretRef"),
    (cloud(userData="a", userDataBase64=TEXT), "volumes[0].cloudInitNoCloud", "'userData and userDataBase64'"),
    (cloud(userData="a", secretRef={"name": "s"}), "volumes[0].cloudInitNoCloud", "'userData and secretRef'"),
    (
        cloud(userData="x" * 2049),
        "volumes[0].cloudInitNoCloud.userData",
        "2049 bytes are too many, use at most 2048",
    ),
    (cloud(userData="é" * 1025), "volumes[0].cloudInitNoCloud.userData", "2050 bytes are too many"),
    (
        cloud(userDataBase64=base64.b64encode(b"x" * 2049).decode()),
        "volumes[0].cloudInitNoCloud.userDataBase64",
        "2049",
    ),
    (cloud(userDataBase64="!"), "volumes[0].cloudInitNoCloud.userDataBase64", "the value is not allowed, use base64"),
    (cloud(networkData="x" * 2049), "volumes[0].cloudInitNoCloud.networkData", "or networkDataSecretRef"),
    (cloud(secretRef={}), "volumes[0].cloudInitNoCloud.secretRef.name", "'' is not allowed"),
    (
        {"volumes": [{"name": n, "cloudInitNoCloud": {"userData": "x"}} for n in "ab"]},
        "volumes",
        "'2 cloud-init volumes'",
    ),
    (volume(emptyDisk={"capacity": "none"}), "volumes[0].emptyDisk.capacity", "a quantity such as 1Gi"),
    (volume(persistentVolumeClaim={"claimName": ""}), "volumes[0].persistentVolumeClaim.claimName", "a name of 253"),
    (volume(ephemeral={}), "volumes[0].ephemeral.persistentVolumeClaim", "a claim"),
    (volume(configMap={"name": "c", "volumeLabel": "-x"}), "volumes[0].configMap.volumeLabel", "1 to 32 letters"),
    (volume(secret={}), "volumes[0].secret.secretName", "a name of 253"),
    (volume(serviceAccount={}), "volumes[0].serviceAccount.serviceAccountName", "a name of 253"),
    (
        volume(downwardAPI={"fields": [{"path": "/x", "fieldRef": {}}]}),
        "volumes[0].downwardAPI.fields[0].path",
        "relative",
    ),
    (
        volume(downwardAPI={"fields": [{"path": "x"}]}),
        "volumes[0].downwardAPI.fields[0]",
        "fieldRef and resourceFieldRef",
    ),
    (devices(interfaces=[{"name": "default"}]), "domain.devices.interfaces[0]", "either masquerade: {} or bridge: {}"),
    (interface(bridge={}), "domain.devices.interfaces[0]", "'masquerade and bridge'"),
    (interface(model="igb"), "domain.devices.interfaces[0].model", "virtio or e1000"),
    (interface(state="absent"), "domain.devices.interfaces[0].state", "up or down"),
    (interface(acpiIndex=16384), "domain.devices.interfaces[0].acpiIndex", "0 to 16383"),
    (interface(macAddress="01:00:00:00:00:01"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(macAddress="00:00:00:00:00:00"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(macAddress="02:00"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(ports=[{"port": 0}]), "domain.devices.interfaces[0].ports[0].port", "1 to 65535"),
    (
        interface(ports=[{"port": 1}, {"port": 1}]),
        "domain.devices.interfaces[0].ports[1].port",
        "one that no other has",
    ),
    (
        interface(ports=[{"port": 1, "protocol": "SCTP"}]),
        "domain.devices.interfaces[0].ports[0].protocol",
        "TCP or UDP",
    ),
    (interface(ports=[{"port": 1, "name": "A b"}]), "domain.devices.interfaces[0].ports[0].name", "1 to 15 of a-z"),
    (cidr("10.0.2.0/31"), "networks[0].pod.vmNetworkCIDR", "8 to 30 bits"),
    (cidr("8.8.8.0/24"), "networks[0].pod.vmNetworkCIDR", "a private IPv4 network"),
    (cidr("10.0.2.0/24", bridge={}), "networks[0].pod.vmNetworkCIDR", "a bridged guest has the pod's address"),
    (devices(inputs=[{"name": "k", "type": "keyboard"}]), "domain.devices.inputs[0].type", "use tablet"),
    (devices(inputs=[{"name": "k", "type": "tablet", "bus": "ps2"}]), "domain.devices.inputs[0].bus", "usb or virtio"),
    (devices(watchdog={"name": "w"}), "domain.devices.watchdog", "i6300esb: {}"),
    (
        devices(watchdog={"name": "w", "i6300esb": {"action": "none"}}),
        "domain.devices.watchdog.i6300esb.action",
        "reset",
    ),
    (devices(tpm={}), "domain.devices.tpm.enabled", "use false: this release has no TPM"),
    (devices(video={"type": "cirrus"}), "domain.devices.video.type", "vga or bochs"),
    (
        devices(video={"type": "vga"}, autoattachGraphicsDevice=False),
        "domain.devices.video",
        "autoattachGraphicsDevice",
    ),
    ({"architecture": "arm64"}, "architecture", "'arm64' is not allowed, use amd64"),
    ({"terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds", "0 or more"),
    ({"hostname": "a.b"}, "hostname", "a DNS label"),
    ({"subdomain": "-"}, "subdomain", "a DNS label"),
    ({"priorityClassName": "A"}, "priorityClassName", "a name of 253"),
    ({"startStrategy": "Running"}, "startStrategy", "use Paused"),
    ({"evictionStrategy": "LiveMigrate"}, "evictionStrategy", "this release does not migrate"),
    ({"evictionStrategy": "External"}, "evictionStrategy", "None or LiveMigrateIfPossible"),
    ({"dnsPolicy": "Mine"}, "dnsPolicy", "ClusterFirst or"),
    ({"dnsPolicy": "None"}, "dnsConfig.nameservers", "at least one"),
    ({"nodeSelector": {"a b": ""}}, "nodeSelector", "a qualified name"),
    ({"nodeSelector": {"a": "b c"}}, "nodeSelector.a", "a label's value"),
    (
        probe(),
        "readinessProbe",
        "'nothing' is not allowed, use exactly one of exec, httpGet, tcpSocket, guestAgentPing",
    ),
    (probe(guestAgentPing={}, tcpSocket={"port": 1}), "readinessProbe", "'tcpSocket and guestAgentPing'"),
    (probe(guestAgentPing={}, periodSeconds=-1), "readinessProbe.periodSeconds", "-1"),
    (probe(tcpSocket={"port": 65536}), "readinessProbe.tcpSocket.port", "1 to 65535"),
    (probe(tcpSocket={"port": "http"}), "readinessProbe.tcpSocket.port", "the name of an interface's port"),
    (probe(exec={"command": []}), "readinessProbe.exec", "command: 1 to 64 strings"),
    (
        {**devices(autoattachPodInterface=False), **probe(tcpSocket={"port": 1})},
        "readinessProbe.tcpSocket",
        "an interface",
    ),
    ({"livenessProbe": {"guestAgentPing": {}, "successThreshold": 2}}, "livenessProbe.successThreshold", "use 1"),
    ({"livenessProbe": {"guestAgentPing": {}}, "startStrategy": "Paused"}, "livenessProbe", "startStrategy: Paused"),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSED, ids=[f"{at}: {words}" for _, at, words in REFUSED])
def test_what_it_does_not_is_refused_by_field_value_and_what_is_allowed(change: Change, field: str, words: str) -> None:
    (refused,) = refusals(change)
    assert refused.field == f"spec.{field}"
    assert words in refused.message


def test_all_problems_are_told_at_once_and_the_exception_names_them() -> None:
    change = {**domain(cpu={"cores": 99}, machine={"type": "pc"}), "hostname": "A"}
    fields = {refusal.field for refusal in refusals(change)}
    assert fields >= {"spec.domain.cpu.cores", "spec.domain.machine.type", "spec.hostname"}
    with pytest.raises(UnsupportedSpec) as error:
        accept(merge_patch(MINIMAL, change), Configuration())
    assert all(field in str(error.value) for field in fields)


def test_a_long_value_is_not_repeated_whole() -> None:
    (refused,) = refusals({"hostname": "x" * 100_000})
    assert len(refused.message) < 300


def test_the_message_of_a_thousand_problems_has_an_end() -> None:
    disks = [{"name": f"d{number}", "cache": "x"} for number in range(1000)]
    with pytest.raises(UnsupportedSpec, match=r"and [0-9]+ more$") as error:
        accept(merge_patch(MINIMAL, devices(disks=disks)), Configuration())
    assert len(str(error.value)) < 32_000
    assert len(error.value.refusals) > 1000


def test_what_is_passed_on_is_not_nested_without_end() -> None:
    nested: Any = "x"
    for _ in range(900):
        nested = {"a": [nested]}
    probed = {"readinessProbe": {"httpGet": {"port": 80, "x": nested}}}
    for change in ({"affinity": nested}, {"tolerations": [nested]}, {"dnsConfig": nested}, probed):
        (refused,) = refusals(change)
        assert str(refused) == f"spec.{next(iter(change))}: 'nesting' is not allowed, use at most 32 levels"


def test_an_interface_and_a_network_that_do_not_fit_are_both_named() -> None:
    assert {str(refusal) for refusal in refusals(interface(name="other"))} == {
        "spec.domain.devices.interfaces[0].name: 'other' is not allowed, use the name of a network: default",
        "spec.networks[0].name: 'default' is not allowed, use the name of an interface",
    }


def test_more_networks_than_one_are_refused() -> None:
    networks = [POD, {"name": "second", "pod": {}}]
    interfaces = [MASQUERADE, {"name": "second", "bridge": {}}]
    found = {str(refusal) for refusal in refusals({**devices(interfaces=interfaces), "networks": networks})}
    assert found == {
        "spec.domain.devices.interfaces: '2 interfaces' is not allowed, use one interface",
        "spec.networks: '2 networks' is not allowed, use one network",
    }


def test_machine_types_are_those_of_the_cluster() -> None:
    newest = domain(machine={"type": "pc-q35-9.0"})
    assert not refusals(newest, Configuration(emulated_machines=["pc-q35-9.*"]))
    amd64 = ArchitectureConfigurations(ArchitectureConfiguration(emulated_machines=["pc-q35-7.*", "q35"]))
    (refused,) = refusals(newest, Configuration(architecture_configuration=amd64, emulated_machines=["*"]))
    assert "'pc-q35-9.0' is not allowed, use one of the cluster's emulatedMachines: pc-q35-7.*, q35" in str(refused)

"""The preferences that come with the suite, with the names of KubeVirt's common-instancetypes v1.6.0. Pure; called by
desired.py.

A preference has the fields that this release can run. Without effect on what boots are left out: secure boot, Hyper-V
enlightenments. Guests that need a TPM, another architecture or a PCI hole have none here (docs/instance-types.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from virt_core.kube.resource import VIRTUAL_MACHINE_CLUSTER_PREFERENCES

from virt_operator.strategy.common_instancetypes import BUNDLE_LABELS, GROUP
from virt_operator.strategy.ref import Body

Parts = Mapping[str, Any]


class _Preference(NamedTuple):
    """A row of the table."""

    name: str
    title: str
    icon: str
    cpus: int = 0
    memory: str = ""
    """The least that the guest needs, "" if that is unknown."""

    parts: tuple[Parts, ...] = ()
    """Fields of the spec beside those of the operating system's family."""


_FAST: Parts = {"devices": {"preferredDiskDedicatedIoThread": True}}
_TABLET: Parts = {
    "devices": {
        "preferredAutoattachInputDevice": True,
        "preferredInputBus": "virtio",
        "preferredInputType": "tablet",
    }
}
_PACKETS: Parts = {
    "cpu": {"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads", "ratio": 4}},
    "devices": {"preferredNetworkInterfaceMultiQueue": True},
}
_REALTIME: Parts = {
    "cpu": {"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads"}},
    "devices": {
        "preferredAutoattachGraphicsDevice": False,
        "preferredAutoattachMemBalloon": False,
        "preferredAutoattachSerialConsole": True,
        "preferredNetworkInterfaceMultiQueue": True,
    },
}
_TRANSITIONAL: Parts = {"devices": {"preferredUseVirtioTransitional": True}}
_UEFI: Parts = {"firmware": {"preferredEfi": {"secureBoot": False}}}
_AMD64: Parts = {"preferredArchitecture": "amd64", "requirements": {"architecture": "amd64"}}
_RHEL_9: tuple[Parts, ...] = (_UEFI, _AMD64, _FAST)

_LINUX: Parts = {
    "annotations": {"vm.kubevirt.io/os": "linux"},
    "devices": {"preferredDiskBus": "virtio", "preferredInterfaceModel": "virtio", "preferredRng": {}},
}
_WINDOWS: Parts = {
    "annotations": {"vm.kubevirt.io/os": "windows"},
    "clock": {
        "preferredClockOffset": {"utc": {}},
        "preferredTimer": {
            "hpet": {"present": False},
            "hyperv": {},
            "pit": {"tickPolicy": "delay"},
            "rtc": {"tickPolicy": "catchup"},
        },
    },
    "cpu": {"preferredCPUTopology": "sockets"},
    "devices": {"preferredAutoattachInputDevice": True},
    "features": {"preferredAcpi": {}, "preferredApic": {}},
    "preferredTerminationGracePeriodSeconds": 3600,
}
_LEGACY: Parts = {
    "annotations": {"vm.kubevirt.io/os": "legacy"},
    "devices": {"preferredDiskBus": "sata", "preferredInterfaceModel": "e1000"},
}

_LINUXES = (
    _Preference("alpine", "Alpine", "alpine", 1, "512Mi"),
    _Preference("centos.stream10", "CentOS Stream 10", "centos", 1, "1.5Gi", (_FAST,)),
    _Preference("centos.stream10.desktop", "CentOS Stream 10", "centos", 1, "1.5Gi", (_FAST, _TABLET)),
    _Preference("centos.stream9", "CentOS Stream 9", "centos", 1, "1.5Gi", (_FAST,)),
    _Preference("centos.stream9.desktop", "CentOS Stream 9", "centos", 1, "1.5Gi", (_FAST, _TABLET)),
    _Preference("centos.stream9.dpdk", "CentOS Stream 9", "centos", 8, "1.5Gi", (_FAST, _PACKETS)),
    _Preference("cirros", "Cirros", "cirros", 1, "256Mi"),
    _Preference("debian", "Debian", "debian", 1, "512Mi", (_UEFI,)),
    _Preference("fedora", "Fedora (amd64)", "fedora", 1, "2Gi", (_UEFI, _AMD64)),
    _Preference("linux", "Linux Guest", "linux"),
    _Preference("linux.efi", "Linux EFI Guest", "linux", parts=(_UEFI,)),
    _Preference("linux.virtiotransitional", "Linux Virtio Transitional Guest", "linux", parts=(_TRANSITIONAL,)),
    _Preference("opensuse.leap", "OpenSUSE Leap", "opensuse-leap", 1, "2Gi"),
    _Preference("opensuse.tumbleweed", "OpenSUSE Tumbleweed", "opensuse-tumbleweed", 1, "2Gi"),
    _Preference("oraclelinux", "Oracle Linux", "oracle", 2, "4Gi", (_UEFI,)),
    _Preference("rhel.10", "Red Hat Enterprise Linux 10 (amd64)", "rhel", 1, "1.5Gi", _RHEL_9),
    _Preference("rhel.7", "Red Hat Enterprise Linux 7", "rhel", 1, "1Gi"),
    _Preference("rhel.7.desktop", "Red Hat Enterprise Linux 7", "rhel", 1, "1Gi", (_TABLET,)),
    _Preference("rhel.8", "Red Hat Enterprise Linux 8", "rhel", 1, "1.5Gi"),
    _Preference("rhel.8.desktop", "Red Hat Enterprise Linux 8", "rhel", 1, "1.5Gi", (_TABLET,)),
    _Preference("rhel.8.dpdk", "Red Hat Enterprise Linux 8", "rhel", 8, "1.5Gi", (_PACKETS,)),
    _Preference("rhel.9", "Red Hat Enterprise Linux 9 (amd64)", "rhel", 1, "1.5Gi", _RHEL_9),
    _Preference(
        "rhel.9.desktop", "Red Hat Enterprise Linux 9 Desktop (amd64)", "rhel", 1, "1.5Gi", (*_RHEL_9, _TABLET)
    ),
    _Preference("rhel.9.dpdk", "Red Hat Enterprise Linux 9 DPDK (amd64)", "rhel", 8, "1.5Gi", (*_RHEL_9, _PACKETS)),
    _Preference(
        "rhel.9.realtime", "Red Hat Enterprise Linux 9 Realtime (amd64)", "rhel", 4, "4Gi", (*_RHEL_9, _REALTIME)
    ),
    _Preference("sles", "SUSE Linux Enterprise Server", "sles", 1, "2Gi"),
    _Preference("ubuntu", "Ubuntu", "ubuntu", 1, "2Gi"),
)
_WINDOWSES = (
    _Preference("windows.10", "Microsoft Windows 10", "windows", 1, "2Gi", (_UEFI,)),
    _Preference("windows.2k12", "Microsoft Windows Server 2012/2012 R2", "windows", 1, "512Mi"),
    _Preference("windows.2k16", "Microsoft Windows Server 2016", "windows", 1, "2Gi", (_UEFI,)),
    _Preference("windows.2k19", "Microsoft Windows Server 2019", "windows", 1, "2Gi", (_UEFI,)),
    _Preference("windows.2k8", "Microsoft Windows Server 2008/2008 R2", "windows", 1, "512Mi"),
    _Preference("windows.7", "Microsoft Windows 7", "windows", 1, "2Gi"),
)
_CARDS = {"windows.2k8": "e1000"}
"""Network cards that Windows has drivers for, other than e1000e."""


def common_preferences() -> list[Body]:
    """All objects, sorted by name."""
    made = [_preference(row, "linux", _LINUX) for row in _LINUXES]
    made.append(_preference(_Preference("legacy", "Legacy Guest", "other"), "legacy", _LEGACY))
    for row in _WINDOWSES:
        made += [_windows(row), _windows_with_virtio(row)]
    return sorted(made, key=lambda body: str(body["metadata"]["name"]))


def _windows(row: _Preference) -> Body:
    model = _CARDS.get(row.name, "e1000e")
    return _preference(row, "windows", _merged(_WINDOWS, _disk_and_card("sata", model)))


def _windows_with_virtio(row: _Preference) -> Body:
    """For guests with the drivers of virtio-win."""
    named = row._replace(name=f"{row.name}.virtio", title=f"{row.title} (virtio)", parts=(*row.parts, _TABLET))
    return _preference(named, "windows", _merged(_WINDOWS, _disk_and_card("virtio", "virtio")))


def _disk_and_card(bus: str, model: str) -> Parts:
    return {"devices": {"preferredDiskBus": bus, "preferredInterfaceModel": model}}


def _preference(row: _Preference, family: str, base: Parts) -> Body:
    needs: Body = {"cpu": {"guest": row.cpus}, "memory": {"guest": row.memory}} if row.cpus else {}
    spec = _merged(base, {"requirements": needs} if needs else {}, *row.parts)
    words = {"os-type": family}
    if needs:
        words |= {"required-cpu": str(row.cpus), "required-memory": row.memory}
    if "preferredArchitecture" in spec:
        words |= dict.fromkeys(("preferred-architecture", "required-architecture"), spec["preferredArchitecture"])
    return {
        "apiVersion": VIRTUAL_MACHINE_CLUSTER_PREFERENCES.api_version,
        "kind": VIRTUAL_MACHINE_CLUSTER_PREFERENCES.kind,
        "metadata": {
            "name": row.name,
            "labels": {**BUNDLE_LABELS, **{f"{GROUP}/{key}": value for key, value in words.items()}},
            "annotations": {"iconClass": f"icon-{row.icon}", "openshift.io/display-name": row.title},
        },
        "spec": spec,
    }


def _merged(*parts: Parts) -> dict[str, Any]:
    """The parts as one object; of two values the later one counts."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            before = merged.get(key)
            both = isinstance(before, Mapping) and isinstance(value, Mapping)
            merged[key] = _merged(before or {}, value) if both else value
    return merged

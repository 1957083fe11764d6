"""Prometheus sees what the guests of a node use, under KubeVirt's names, and no launcher holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2
from kubevirt.launcher.v1 import statistics_pb2 as pb
from prometheus_client.metrics_core import Metric
from virt_core.rpc.errors import Unavailable
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.link import Disconnected
from virt_handler.machines.measure import measure
from virt_handler.machines.metrics import families

WEB = {"node": "node1", "namespace": "shop", "name": "web"}
TRAFFIC = pb.TrafficStatistics(bytes=100, packets=10, errors=1, dropped=2)
READS = pb.OperationStatistics(requests=3, bytes=4096, nanoseconds=2_000_000_000)


def vmi(name: str = "web") -> VirtualMachineInstance:
    devices = {"disks": [{"name": "root"}], "interfaces": [{"name": "default"}]}
    spec = {"domain": {"cpu": {"cores": 4}, "devices": devices}, "volumes": [{"name": "root"}, {"name": "data"}]}
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}"}
    return VirtualMachineInstance.of({"metadata": meta, "spec": spec, "status": {"nodeName": "node1"}})


def statistics(**more: Any) -> pb.MachineStatistics:
    return pb.MachineStatistics(
        cpu_nanoseconds=3_000_000_000,
        vcpus=[pb.VcpuStatistics(id=0, state=pb.VCPU_STATE_RUNNING, nanoseconds=2_000_000_000, delay_nanoseconds=500)],
        memory=pb.MemoryStatistics(resident_bytes=7, usable_bytes=5, major_faults=4),
        **more,
    )


def shown(found: pb.MachineStatistics) -> dict[str, list[tuple[dict[str, str], float]]]:
    made: list[Metric] = list(families([(vmi(), found)]))
    return {
        sample.name.removeprefix("kubevirt_vmi_"): [
            ({name: value for name, value in each.labels.items() if name not in WEB}, each.value)
            for each in family.samples
        ]
        for family in made
        for sample in family.samples
    }


def test_processors_and_memory_have_kubevirts_names_and_what_is_unknown_is_left_out() -> None:
    found = shown(statistics())
    assert found == {
        "cpu_usage_seconds_total": [({}, 3.0)],
        "vcpu_seconds_total": [({"id": "0", "state": "RUNNING"}, 2.0)],
        "vcpu_delay_seconds_total": [({"id": "0", "state": "RUNNING"}, 5e-7)],
        "memory_resident_bytes": [({}, 7)],
        "memory_usable_bytes": [({}, 5)],
        "memory_pgmajfault_total": [({}, 4)],
    }
    (cpu, *_) = families([(vmi(), statistics())])
    assert cpu.samples[0].labels == WEB


def test_types_are_kubevirts() -> None:
    types = {family.name: family.type for family in families([])}
    assert types["kubevirt_vmi_memory_swap_in_traffic_bytes"] == types["kubevirt_vmi_filesystem_used_bytes"] == "gauge"
    counters = {f"{name}_total" for name, kind in types.items() if kind == "counter"}
    assert {"kubevirt_vmi_memory_pgminfault_total", "kubevirt_vmi_vcpu_wait_seconds_total"} <= counters
    assert len(types) == len(set(types)) and set(types.values()) == {"gauge", "counter"}


def test_devices_are_those_of_the_spec() -> None:
    strangers = pb.InterfaceStatistics(name="made-up", received=TRAFFIC)
    interface = pb.InterfaceStatistics(name="default", received=TRAFFIC, transmitted=pb.TrafficStatistics(bytes=9))
    disks = [pb.DiskStatistics(name=name, reads=READS) for name in ("root", "root", "data", "made-up")]
    found = shown(statistics(interfaces=[interface, strangers], disks=disks))
    assert found["network_receive_bytes_total"] == [({"interface": "default"}, 100)]
    assert found["network_receive_packets_dropped_total"] == [({"interface": "default"}, 2)]
    assert found["network_transmit_bytes_total"] == [({"interface": "default"}, 9)]
    both = [({"interface": "default", "type": "rx"}, 100), ({"interface": "default", "type": "tx"}, 9)]
    assert found["network_traffic_bytes_total"] == both
    assert "network_transmit_packets_total" not in found
    assert found["storage_iops_read_total"] == [({"drive": "root"}, 3), ({"drive": "data"}, 3)]
    assert found["storage_read_times_seconds_total"][0] == ({"drive": "root"}, 2.0)
    assert "storage_iops_write_total" not in found


def test_a_guest_whose_spec_names_no_interface_has_the_default_one() -> None:
    body = {"metadata": {"name": "bare", "namespace": "shop"}, "spec": {"domain": {}}, "status": {}}
    interface = pb.InterfaceStatistics(name="default", received=TRAFFIC)
    made = families([(VirtualMachineInstance.of(body), pb.MachineStatistics(interfaces=[interface]))])
    assert next(family.name for family in made if family.samples) == "kubevirt_vmi_network_receive_bytes"


def test_file_systems_are_few_and_their_names_are_short_and_harmless() -> None:
    names = [("vda1", "/"), ("vda1", "/"), ("x\n\u202e" + "y" * 500, "/mnt")]
    filesystems = [
        guest_pb2.GuestFilesystem(name=name, mount_point=at, type="ext4", used_bytes=1, total_bytes=2)
        for name, at in names
    ]
    found = shown(statistics(filesystems=filesystems * 100))
    labels = [entry for entry, _ in found["filesystem_capacity_bytes"]]
    assert labels[0] == {"disk_name": "vda1", "mount_point": "/", "file_system_type": "ext4"}
    assert len(labels) == 2 and len(labels[1]["disk_name"]) == 128 and labels[1]["disk_name"].isprintable()
    assert found["filesystem_used_bytes"][0][1] == 1


def test_a_hostile_launcher_cannot_make_up_series_without_end() -> None:
    vcpus = [pb.VcpuStatistics(id=number, nanoseconds=1) for number in range(5000)]
    filesystems = [guest_pb2.GuestFilesystem(name=f"fs{number}", total_bytes=1) for number in range(5000)]
    disks = [*([pb.DiskStatistics(name="made-up")] * 5000), pb.DiskStatistics(name="root", reads=READS)]
    found = shown(pb.MachineStatistics(vcpus=vcpus, filesystems=filesystems, disks=disks))
    assert "storage_iops_read_total" not in found, "nobody reads so many"
    assert len(found["vcpu_seconds_total"]) == 4 and len(found["filesystem_capacity_bytes"]) == 32


@pytest.mark.parametrize(
    ("domain", "count"),
    [
        ({}, 1),
        ({"cpu": {"sockets": 2, "cores": 2, "threads": 2, "model": "host-model", "unknown": 1}}, 8),
        ({"resources": {"requests": {"cpu": "2500m"}}}, 3),
        ({"cpu": {"sockets": 1 << 40}}, 1024),
        ({"cpu": "many"}, 1),
    ],
)
def test_vcpus_are_as_many_as_the_spec_has(domain: dict[str, Any], count: int) -> None:
    body = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"domain": domain}, "status": {}}
    vcpus = [pb.VcpuStatistics(id=number, nanoseconds=1) for number in range(5000)]
    made = families([(VirtualMachineInstance.of(body), pb.MachineStatistics(vcpus=vcpus))])
    (family,) = (family for family in made if family.samples)
    assert [sample.labels["id"] for sample in family.samples] == [str(number) for number in range(count)]


def test_each_vcpu_is_shown_once_whatever_its_launcher_says() -> None:
    """Prometheus refuses two samples of one series."""
    running, offline = (
        pb.VcpuStatistics(id=0, state=state, nanoseconds=1_000_000_000)
        for state in (pb.VCPU_STATE_RUNNING, pb.VCPU_STATE_OFFLINE)
    )
    found = shown(pb.MachineStatistics(vcpus=[running, running, offline]))
    assert found["vcpu_seconds_total"] == [({"id": "0", "state": "RUNNING"}, 1.0)]


class Link:
    """A connection to a launcher."""

    def __init__(self, answer: Any, features: tuple[str, ...] = ("statistics",)) -> None:
        self._answer = answer
        self._features = features

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[Any]:
        if isinstance(self._answer, Disconnected):
            raise self._answer
        yield SimpleNamespace(
            peer=SimpleNamespace(info=SimpleNamespace(features=self._features), call=self._call),
            stub=SimpleNamespace(GetStatistics="GetStatistics"),
        )

    async def _call(self, method: str, request: launcher_pb2.GetStatisticsRequest, *, timeout: float) -> Any:
        assert (method, request.machine_uid) == ("GetStatistics", "uid-web")
        await asyncio.sleep(0)
        if isinstance(self._answer, Exception):
            raise self._answer
        assert 0 < timeout < 5, "Prometheus waits for ten seconds"
        return launcher_pb2.GetStatisticsResponse(statistics=self._answer)


async def test_a_launcher_that_fails_or_is_older_costs_its_own_numbers_alone() -> None:
    links: Any = [
        Link(Unavailable("deadline exceeded")),
        Link(statistics()),
        Link(Disconnected("not connected")),
        Link(AssertionError("a launcher of 0.1.0 is not asked"), features=("migration",)),
    ]
    (found,) = await measure((vmi(), link) for link in links)
    assert found.statistics == statistics() and found.vmi.metadata.name == "web"

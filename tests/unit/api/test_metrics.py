"""virt-api shows who is connected and how many VirtualMachines were created, under KubeVirt's names."""

from __future__ import annotations

from collections import Counter

import pytest
from virt_api import metrics
from virt_api.admission import created as module
from virt_api.admission.created import CreatedMachines
from virt_api.subresources import connections
from virt_api.subresources.connections import Connections

WEB, DB = ("shop", "web"), ("shop", "db")


def shown(of: Connections, created: CreatedMachines | None = None) -> dict[str, list[tuple[dict[str, str], float]]]:
    families = metrics.families(of.open, of.last, created.by_namespace if created is not None else {})
    return {family.name: [(sample.labels, sample.value) for sample in family.samples] for family in families}


def test_open_streams_are_shown_by_guest_until_they_end() -> None:
    of = Connections(clock=lambda: 1000.0)
    with of.counted("vnc", WEB), of.counted("portforward", WEB), of.counted("portforward", WEB):
        with of.counted("console", DB):
            found = shown(of)
            assert found["kubevirt_console_active_connections"] == [({"namespace": "shop", "vmi": "db"}, 1)]
            assert found["kubevirt_vnc_active_connections"] == [({"namespace": "shop", "vmi": "web"}, 1)]
            assert found["kubevirt_portforward_active_tunnels"] == [({"namespace": "shop", "vmi": "web"}, 2)]
        assert shown(of)["kubevirt_console_active_connections"] == []
    found = shown(of)
    assert found["kubevirt_portforward_active_tunnels"] == found["kubevirt_vnc_active_connections"] == []
    last = found["kubevirt_vmi_last_api_connection_timestamp_seconds"]
    assert [(labels["vmi"], moment) for labels, moment in last] == [("db", 1000), ("web", 1000)]


def test_only_the_newest_connections_are_remembered() -> None:
    of = Connections(clock=iter(range(10_000)).__next__)
    for number in range(connections._MOST_REMEMBERED + 5):
        with of.counted("vnc", ("shop", f"vm{number}")):
            pass
    assert len(of.last) == connections._MOST_REMEMBERED and ("shop", "vm4") not in of.last


def test_created_machines_are_a_counter_by_namespace() -> None:
    created = CreatedMachines()
    for namespace in ("shop", "shop", "lab"):
        created.count(namespace)
    (family,) = [family for family in metrics.families(Counter(), {}, created.by_namespace) if family.type == "counter"]
    assert [(sample.name, sample.labels["namespace"], sample.value) for sample in family.samples] == [
        ("kubevirt_vm_created_by_pod_total", "lab", 1),
        ("kubevirt_vm_created_by_pod_total", "shop", 2),
    ]


def test_whoever_reaches_the_webhook_cannot_make_up_namespaces_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    created = CreatedMachines()
    for namespace in ("", "x" * 64, "A", 'a"} 1', "a\n", *(f"ns{number}" for number in range(9)), "ns0"):
        created.count(namespace)
    assert created.by_namespace == {"ns0": 2, "ns1": 1, "ns2": 1}

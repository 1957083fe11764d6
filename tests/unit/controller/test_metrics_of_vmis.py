"""virt-controller's metrics of VirtualMachineInstances have KubeVirt's names, labels and types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from virt_controller.metrics.vmis import Guest, families, pass_family, transition_families
from virt_controller.transitions import BOUNDS, Transitions
from virt_core.objects.meta import ObjectMeta
from virt_core.vmi.instance import VirtualMachineInstance

WEB = {"node": "node1", "namespace": "shop", "name": "web"}
AGENT = {"kernelRelease": "6.1", "machine": "x86_64", "name": "Debian", "versionId": "12"}
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
AT = {second: f"2026-01-01T00:00:{second:02}Z" for second in range(60)}


def vmi(spec: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **status: Any) -> Any:
    annotations = {"vm.kubevirt.io/os": "fedora", "vm.kubevirt.io/flavor": "small"}
    meta = {"name": "web", "namespace": "shop", "labels": labels or {}, "annotations": annotations}
    body = {"metadata": meta, "spec": spec or {}, "status": {"phase": "Running", "nodeName": "node1", **status}}
    return VirtualMachineInstance.of(body)


def shown(*guests: Guest) -> dict[str, list[tuple[dict[str, str], float]]]:
    return {
        family.name.removeprefix("kubevirt_vmi_"): [(sample.labels, sample.value) for sample in family.samples]
        for family in families(guests)
    }


def test_a_guest_is_described() -> None:
    guest = vmi(guestOSInfo=AGENT, machine={"type": "pc-q35-10.0"}, labels={"kubevirt.io/outdatedLauncherImage": ""})
    (found,) = shown(Guest(guest, "virt-launcher-web", "u1.small", "fedora"))["info"]
    assert found == (
        {
            **WEB,
            "phase": "running",
            "os": "fedora",
            "flavor": "small",
            "instance_type": "u1.small",
            "preference": "fedora",
            "guest_os_kernel_release": "6.1",
            "guest_os_machine": "pc-q35-10.0",
            "guest_os_arch": "x86_64",
            "guest_os_name": "Debian",
            "guest_os_version_id": "12",
            "evictable": "true",
            "outdated": "true",
            "vmi_pod": "virt-launcher-web",
        },
        1,
    )
    assert {family.type for family in families([Guest(guest)])} == {"gauge"}


def test_what_is_not_known_has_no_label() -> None:
    pending = VirtualMachineInstance.of({"metadata": {"name": "new", "namespace": "shop"}, "status": {}})
    (found,) = shown(Guest(pending))["info"]
    assert found[0] == {"namespace": "shop", "name": "new", "evictable": "true", "outdated": "false"}


@pytest.mark.parametrize(
    ("strategy", "conditions", "blocked"),
    [
        ("LiveMigrate", [], True),
        ("LiveMigrate", [{**MIGRATABLE, "status": "False"}], True),
        ("LiveMigrate", [MIGRATABLE], False),
        ("LiveMigrateIfPossible", [], False),
        ("None", [], False),
    ],
)
def test_a_guest_that_must_move_and_cannot_is_not_evictable(
    strategy: str, conditions: list[dict[str, str]], blocked: bool
) -> None:
    found = shown(Guest(vmi({"evictionStrategy": strategy}, conditions=conditions)))
    assert found["non_evictable"] == [(WEB, blocked)]
    assert found["info"][0][0]["evictable"] == str(not blocked).lower()


def test_addresses_of_interfaces_are_shown() -> None:
    interfaces = [
        {"name": "default", "interfaceName": "eth0", "ipAddress": "10.0.0.7"},
        {"interfaceName": "lo"},
        {"interfaceName": "lo", "mac": "02:00:00:00:00:01"},
        {},
        "nonsense",
    ]
    assert shown(Guest(vmi(interfaces=interfaces)))["status_addresses"] == [
        (
            {
                **WEB,
                "vnic_name": "default",
                "interface_name": "eth0",
                "address": "10.0.0.7",
                "type": "ExternalInterface",
            },
            1,
        ),
        ({**WEB, "interface_name": "lo", "type": "SystemInterface"}, 1),
    ]
    assert shown(Guest(vmi(interfaces="nonsense")))["status_addresses"] == []


def test_each_pass_over_a_guest_is_counted_until_it_is_gone() -> None:
    seen, meta = Transitions(BOUNDS, datetime.now(UTC)), ObjectMeta("web", "shop")
    for number in (1, 2):
        seen.see(meta, ())
        family = pass_family(seen)
        (sample,) = family.samples
        assert (sample.name, family.type, sample.value) == ("kubevirt_vmi_sync_total", "counter", number)
        assert sample.labels == {"namespace": "shop", "name": "web"}
    seen.forget(("shop", "web"))
    assert pass_family(seen).samples == []


# --- from phase to phase ---


def meta(uid: str = "u1", deleted: str | None = None) -> ObjectMeta:
    return ObjectMeta("web", "shop", uid, creation_timestamp=AT[10], deletion_timestamp=deleted)


def entered(**seconds: int) -> Sequence[tuple[str, str]]:
    return [(phase, AT[second]) for phase, second in seconds.items()]


def counted(seen: Transitions) -> dict[str, dict[tuple[str, ...], float]]:
    """The sums of seconds by metric, and by phase and last phase."""
    return {
        family.name.removeprefix("kubevirt_vmi_phase_transition_time_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples if sample.name.endswith("_sum")
        }
        for family in transition_families(seen)
    }


def seeing(second: int = 0) -> Transitions:
    return Transitions(BOUNDS, datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))


def test_each_phase_is_counted_once_however_many_changes_arrive_as_one() -> None:
    seen = seeing()
    seen.see(meta(), entered(Pending=10))
    seen.see(meta(), entered(Pending=10))
    seen.see(meta(), entered(Pending=10, Scheduling=11, Scheduled=13, Running=16))
    assert counted(seen) == {
        "seconds": {
            ("Pending", ""): 0,
            ("Scheduling", "Pending"): 1,
            ("Scheduled", "Scheduling"): 2,
            ("Running", "Scheduled"): 3,
        },
        "from_creation_seconds": {("Pending",): 0, ("Scheduling",): 1, ("Scheduled",): 3, ("Running",): 6},
        "from_deletion_seconds": {},
    }
    assert {family.type for family in transition_families(seen)} == {"histogram"}


def test_the_end_of_a_deleted_guest_is_counted_from_its_deletion() -> None:
    seen = seeing()
    seen.see(meta(deleted=AT[20]), entered(Running=16, Succeeded=25))
    assert counted(seen)["from_deletion_seconds"] == {("Succeeded",): 5}


def test_what_a_predecessor_has_counted_and_what_is_no_time_is_left_out() -> None:
    seen = seeing(20)
    seen.see(meta(), [*entered(Pending=10, Running=16), ("Unknown", "never")])
    assert counted(seen)["seconds"] == {}
    seen.see(meta(), [*entered(Pending=10, Running=16), ("Unknown", "never"), ("Failed", AT[30])])
    assert counted(seen)["from_creation_seconds"] == {("Failed",): 20}


def test_a_namesake_is_counted_anew() -> None:
    seen = seeing()
    for uid in ("u1", "u2"):
        seen.see(meta(uid), entered(Pending=12))
    seen.forget(("shop", "web"))
    assert counted(seen)["from_creation_seconds"] == {("Pending",): 4}

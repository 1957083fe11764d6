"""virt-controller's metrics of migrations have KubeVirt's names and labels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client.metrics_core import Metric
from virt_controller.metrics.migrations import families, outdated_family, transition_families
from virt_controller.transitions import MIGRATION_BOUNDS, Transitions
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vmi.instance import VirtualMachineInstance

START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z"
MOVED = 'node="node2",namespace="shop",name="web",migration_name="move"'


def job(name: str, phase: str = "", vmi: str = "web") -> VirtualMachineInstanceMigration:
    meta = {"name": name, "namespace": "shop", "uid": f"{name}-uid"}
    body = {"metadata": meta, "spec": {"vmiName": vmi}, "status": {"phase": phase}}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstanceMigration)


def guest(**state: Any) -> VirtualMachineInstance:
    status = {"phase": "Running", "nodeName": "node2", "migrationState": {"migrationUid": "move-uid", **state}}
    body = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}, "status": status}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstance)


def samples(families: list[Metric]) -> dict[str, float]:
    """By name without a prefix, and labels in KubeVirt's order."""
    found = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
        name = sample.name.removeprefix("kubevirt_vmi_migration")
        found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def test_migrations_are_counted_by_phase() -> None:
    phases = ("", "Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")
    found = samples(families([job(f"m{number}", phase) for number, phase in enumerate(phases)], []))
    assert {name: value for name, value in found.items() if name.startswith("s_in_")} == {
        "s_in_unset_phase": 1,
        "s_in_pending_phase": 1,
        "s_in_scheduling_phase": 1,
        "s_in_running_phase": 4,
    }


def test_each_migration_that_has_ended_is_named() -> None:
    found = samples(families([job("good", "Succeeded"), job("bad", "Failed", vmi='"a\\\n')], []))
    assert found['_succeeded{vmi="web",vmim="good",namespace="shop"}'] == 1
    assert found['_failed{vmi=""a\\\n",vmim="bad",namespace="shop"}'] == 1
    assert len([name for name in found if name.startswith("_")]) == 2


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [({"completed": True}, "succeeded"), ({"completed": True, "failed": True}, "failed"), ({}, "")],
)
def test_start_and_end_of_a_guests_last_migration_are_shown(fields: dict[str, Any], outcome: str) -> None:
    state = {"startTimestamp": START, "endTimestamp": END, **fields}
    found = samples(families([job("move")], [guest(**state)]))
    assert found[f"_start_time_seconds{{{MOVED}}}"] == 1767225600
    status = f',status="{outcome}"' if outcome else ""
    assert found[f"_end_time_seconds{{{MOVED}{status}}}"] == 1767225603


def test_a_migration_that_is_gone_or_has_not_begun_is_shown_as_far_as_it_is_known() -> None:
    found = samples(families([], [guest(startTimestamp=START, endTimestamp="soon")]))
    times = [name for name in found if "time_seconds" in name]
    assert times == [f"_start_time_seconds{{{MOVED.replace('move', '<none>')}}}"]
    assert not [name for name in samples(families([], [guest()])) if "time_seconds" in name]


def test_outdated_launchers_are_one_number() -> None:
    family = outdated_family(3)
    assert (family.name, family.type, family.samples[0].value) == ("kubevirt_vmi_number_of_outdated", "gauge", 3)


def test_how_long_migrations_took_from_their_creation_is_counted_once_for_each_phase() -> None:
    seen = Transitions(MIGRATION_BOUNDS, datetime(2026, 1, 1, tzinfo=UTC))
    moments = [{"phase": "Pending", "phaseTransitionTimestamp": START}]
    moments.append({"phase": "Succeeded", "phaseTransitionTimestamp": END})
    made = job("move", "Succeeded")
    made = made.with_status({**made.raw_status, "phaseTransitionTimestamps": moments})
    meta = msgspec.structs.replace(made.metadata, creation_timestamp=START)
    for _ in range(2):
        seen.see(meta, made.status.phases_entered)
    (family,) = transition_families(seen)
    assert family.type == "histogram"
    assert family.name == "kubevirt_vmi_migration_phase_transition_time_from_creation_seconds"
    found = {(sample.labels["phase"], sample.labels.get("le")): sample.value for sample in family.samples}
    assert (found["Succeeded", "2.0"], found["Succeeded", "5.0"], found["Succeeded", "+Inf"]) == (0, 1, 1)
    assert found["Pending", "0.1"] == 1

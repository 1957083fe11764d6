"""virt-operator shows the step of an upgrade to Prometheus."""

from __future__ import annotations

from virt_core.objects.upgrade_status import Stopped, Upgrade, Waiting, WayBack
from virt_operator.metrics import families

SINCE = "2026-01-01T00:00:00Z"
WAY_BACK = WayBack("0.1.0", "registry", "0.1.0", 1)


def shown(upgrade: Upgrade | None) -> dict[str, list[tuple[dict[str, str], float]]]:
    made = families(upgrade)
    assert {family.type for family in made} == {"gauge"}
    return {
        family.name.removeprefix("kubevirt_operator_upgrade_"): [
            (sample.labels, sample.value) for sample in family.samples
        ]
        for family in made
    }


def test_without_an_operation_there_is_no_step() -> None:
    for upgrade in (None, Upgrade(level=2)):
        found = shown(upgrade)
        assert found["step"] == found["step_started_timestamp_seconds"] == []
        assert found["waiting_for"] == found["stopped"] == found["way_back_open"] == [({}, 0)]


def test_an_update_shows_its_step_with_versions_and_what_it_waits_for() -> None:
    waiting = [Waiting("DaemonSet kubevirt/virt-handler", "pods are replaced", SINCE)]
    upgrade = Upgrade("Update", "virt-handler", SINCE, SINCE, "0.1.0", "0.2.0", waiting, way_back=WAY_BACK)
    found, step = shown(upgrade), {"operation": "Update", "step": "virt-handler"}
    assert found["step"] == [({**step, "from_version": "0.1.0", "to_version": "0.2.0"}, 1)]
    assert found["step_started_timestamp_seconds"] == [(step, 1767225600)]
    assert (found["waiting_for"], found["stopped"], found["way_back_open"]) == ([({}, 1)], [({}, 0)], [({}, 1)])


def test_an_update_that_has_stopped_is_shown() -> None:
    stopped = Stopped("id", "0.2.0", "0.2.0", "Update", "virt-handler", "node node1", "GetInfo", "no answer", SINCE)
    found = shown(Upgrade("Stopped", "", SINCE, stopped=stopped))
    assert found["stopped"] == [({}, 1)]
    assert found["step"] == [({"operation": "Stopped"}, 1)]

"""What status and watch show of seeded states."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console
from virt_admin.screen.lines import lines
from virt_admin.screen.tables import view
from virt_admin.suite.observed import Observed, suite_of
from virt_admin.suite.summary import summarize
from virt_core.objects.kubevirt import KubeVirt

from .bodies import NOW, OLD, ago, components, condition, decoded, guest, kubevirt, lease, node, observed, pod

WELL = components()
UPGRADE = {
    "operation": "Update",
    "step": "virt-handler",
    "since": ago(seconds=20),
    "startedAt": ago(minutes=1),
    "fromVersion": "v1",
    "toVersion": "v2",
    "waitingFor": [
        {"object": "DaemonSet kubevirt/virt-handler", "reason": "1 of 2 pods are ready", "since": ago(seconds=5)}
    ],
}


def others(component: str) -> list[Any]:
    return [body for body in WELL["pods"] if body["metadata"]["labels"]["kubevirt.io"] != component]


def test_a_suite_in_which_all_is_well() -> None:
    summary = summarize(observed())
    assert summary.exit_code == 0 and not summary.warnings
    assert [(part.name, part.wanted, part.ready, part.current) for part in summary.components] == [
        ("virt-operator", 1, 1, 1),
        ("virt-api", 1, 1, 1),
        ("virt-controller", 1, 1, 1),
        ("virt-handler", 2, 2, 2),
    ]
    assert (summary.guests.running, summary.guests.outdated, summary.leader) == (2, 0, "virt-operator-0")


def test_an_upgrade_shows_step_wait_and_since_when() -> None:
    handlers = [pod("virt-handler", "old", "node1", OLD), pod("virt-handler", "new", "node2", ready=False)]
    state = observed(kubevirt(upgrade=UPGRADE), pods=[*others("virt-handler"), *handlers])
    shown = lines(summarize(state))
    assert summarize(state).exit_code == 1
    assert f"Update from v1 to v2, since {ago(minutes=1)}" in shown
    assert f"step virt-handler, since {ago(seconds=20)}" in shown
    assert f"waiting for DaemonSet kubevirt/virt-handler: 1 of 2 pods are ready, since {ago(seconds=5)}" in shown
    assert "virt-handler: 1 of 2 ready, 1 of the newest template" in shown
    assert "node node1: ready, virt-handler old v1 ready, 1 guests, 0 on old launchers" in shown
    assert "node node2: ready, virt-handler new v1 not ready, 1 guests, 0 on old launchers" in shown


def test_while_a_change_is_in_progress_its_spec_is_not_called_unprocessed() -> None:
    assert summarize(observed(kubevirt(observedGeneration=0))).warnings
    assert not summarize(observed(kubevirt(observedGeneration=0, upgrade=UPGRADE))).warnings


def shown_of(**status: Any) -> list[str]:
    return lines(summarize(observed(kubevirt(**status))))


def test_an_upgrade_shows_its_steps_its_wave_and_its_pause() -> None:
    wave = {"number": 1, "template": "t", "nodes": ["node1"], "since": ago(seconds=9), "proven": ago(seconds=2)}
    shown = shown_of(upgrade={**UPGRADE, "wave": wave, "pausedSince": ago(seconds=1)})
    steps = next(line for line in shown if line.startswith("steps done: "))
    assert "Definitions; steps now: virt-handler; steps to come: Hardware, virt-controller, virt-api" in steps
    assert f"wave 1 on node1, since {ago(seconds=9)}, proven {ago(seconds=2)}" in shown
    assert {f"paused since {ago(seconds=1)}", "change: paused", "next: virtadm resume, or virtadm rollback"} <= set(
        shown
    )


STOPPED = {"target": "1f", "version": "v2", "release": "0.2.0", "operation": "Update", "component": "virt-handler"}
STOPPED |= {"object": "node node1", "probe": "machines", "message": "does not see x/y", "at": ago(minutes=1)}


def test_a_change_that_has_stopped_shows_why_and_what_to_do() -> None:
    shown = shown_of(upgrade={"operation": "Rollback", "step": "virt-handler", "stopped": STOPPED})
    why = "the update to v2 has stopped at virt-handler: node node1 failed the probe machines: does not see x/y"
    assert f"stopped {ago(minutes=1)}: {why}" in shown
    assert {"change: going back", "next: nothing: v1 comes back by itself"} <= set(shown)
    shown = shown_of(upgrade={"operation": "Stopped", "stopped": STOPPED})
    again = "mend what is named above, then virtadm upgrade --to v2; virtadm rollback to stay at v1"
    assert {"change: stopped", f"next: {again}"} <= set(shown)


@pytest.mark.parametrize(
    ("status", "reason", "state", "to_do"),
    [
        ("False", "Soaking", "soaking", "virtadm finalize to end the way back now, or virtadm rollback to go back"),
        ("False", "OldReleaseLives", "waiting for the old release to end", "mend what the condition Finalized names"),
        ("False", "WaitingForAdministrator", "waiting for an administrator", "virtadm finalize to end the way back"),
        ("False", "SomethingNew", "not finalized", ""),
        ("True", "Finalized", "finalized", ""),
    ],
)
def test_after_an_upgrade_it_is_shown_whether_there_is_a_way_back(
    status: str, reason: str, state: str, to_do: str
) -> None:
    available = condition("Available", "True")
    back = {"version": "v0", "registry": "r", "release": "0.1.0", "level": 1}
    back |= {"provenAt": ago(minutes=2), "refusals": ["an old guest"]}
    suite = kubevirt(upgrade={"wayBack": back}, conditions=[available, condition("Finalized", status, reason)])
    summary = summarize(observed(suite))
    assert (summary.change.state, summary.exit_code) == (state, 0) and to_do in summary.change.next
    proven = f"the change is proven since {ago(minutes=2)}"
    assert f"way back to v0 (0.1.0), {proven}; not final: an old guest" in lines(summary)


def test_a_request_that_is_refused_says_what_to_do() -> None:
    conditions = [condition("Available", "True"), condition("Synchronized", "False", "MissingPermissions", "create x")]
    shown = shown_of(conditions=conditions, upgrade=UPGRADE)
    assert "next: apply kubevirt-operator.yaml of the requested release, or virtadm rollback" in shown


def test_a_terminal_marks_each_step() -> None:
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    console.print(view(summarize(observed(kubevirt(upgrade={**UPGRADE, "stopped": STOPPED}))), NOW))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "✓ Definitions" in drawn and "▶ virt-handler" in drawn and "· Cleanup" in drawn
    assert "change: going back" in drawn and "WAITING FOR" in drawn


def test_guests_are_counted_by_launcher() -> None:
    old = {"labels": {"kubevirt.io/outdatedLauncherImage": ""}}
    blocked = condition("WorkloadUpdateBlocked", "True", "OptedOut")
    state = {"migrationState": {"migrationUid": "m"}}
    guests = [
        guest("new"),
        guest("old", "Running", "node1", blocked, **old),
        guest("moving", **old, **state),
        guest("starting", "Scheduling", ""),
        guest("ended", "Succeeded"),
    ]
    summary = summarize(observed(guests=guests))
    assert lines(summary)[-1] == (
        "guests: 3 running (1 on new launchers, 2 on old ones, 1 moving, 1 blocked by OptedOut), 1 starting"
    )
    assert (summary.nodes[0].guests, summary.nodes[0].outdated) == (3, 2)


@pytest.mark.parametrize(
    ("changed", "code", "line"),
    [
        ({"pods": others("virt-operator")}, 1, "warning: no pod of virt-operator is ready: conditions"),
        ({"leases": []}, 1, "warning: no pod of virt-operator leads: conditions"),
        (
            {"leases": [lease("virt-operator", renewed=NOW - timedelta(minutes=2))]},
            1,
            "warning: virt-operator's leader virt-operator-0 has not renewed its Lease: conditions",
        ),
        ({"unreadable": tuple("abcdefg")}, 1, "warning: virtadm cannot read 2 more objects"),
        ({"trouble": "connection refused"}, 1, "warning: the API server does not answer"),
        ({"suite": kubevirt("False")}, 2, "Available=False"),
        ({"suite": kubevirt(conditions=[])}, 2, "KubeVirt kubevirt/kubevirt: Deployed, v1"),
        ({"suite": kubevirt(observedGeneration=0)}, 1, "warning: virt-operator has not processed the newest spec"),
        ({"nodes": [node("node1", unschedulable=True, labels={})]}, 0, "node node1: ready, cordoned, takes no guests"),
        ({"pods": others("virt-handler")}, 1, "node node2: ready, virt-handler missing"),
    ],
)
def test_what_does_not_work_is_named(changed: dict[str, Any], code: int, line: str) -> None:
    summary = summarize(observed(**changed))
    assert summary.exit_code == code
    assert any(shown.startswith(line) for shown in lines(summary)), lines(summary)


def test_a_pod_that_is_not_ready_says_why() -> None:
    waiting = {"name": "virt-api", "image": "r/virt-api:v1", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    bad = pod("virt-api", "virt-api-0", ready=False, containerStatuses=[waiting])
    shown = lines(summarize(observed(pods=[*others("virt-api"), bad])))
    assert "pod virt-api-0: container virt-api, image r/virt-api:v1: ImagePullBackOff" in shown


def test_of_several_kubevirt_objects_the_one_with_the_finalizer_counts() -> None:
    first, second = decoded(kubevirt(), KubeVirt), kubevirt()
    second["metadata"] |= {"name": "b", "finalizers": ["kubevirt.io/foregroundDeleteKubeVirt"]}
    second["metadata"]["creationTimestamp"] = ago(hours=1)
    found = suite_of([first, decoded(second, KubeVirt)])
    assert found is not None and found.metadata.name == "b"
    assert suite_of([]) is None


def test_hostile_names_reach_no_terminal() -> None:
    hostile = kubevirt(phase="\x1b[2JDeployed")
    assert isinstance(observed(hostile), Observed)
    assert not any("\x1b" in line for line in lines(summarize(observed(hostile))))

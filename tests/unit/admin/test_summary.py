"""What status and watch show of seeded states."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from virt_admin.screen.lines import lines
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


def test_a_way_back_that_is_open_is_no_change_in_progress() -> None:
    way_back = {"version": "v1", "registry": "", "release": "v1", "level": 1}
    summary = summarize(observed(kubevirt(upgrade={"operation": "", "step": "", "since": "", "wayBack": way_back})))
    assert summary.exit_code == 0 and lines(summary) == lines(summarize(observed()))
    assert summary.upgrade is not None and summary.upgrade.way_back is not None


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

"""Plans for a replica set: how many it creates and deletes, which ones, and what it reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.failure import Failure
from virt_controller.replica_set.actions import CreateInstances, DeleteInstances, PatchInstance
from virt_controller.replica_set.instance import names
from virt_controller.replica_set.plan import plan
from virt_core.vmi.instance import VirtualMachineInstance

from tests.unit.controller.replica_sets import (
    LABELS,
    NOW,
    TEMPLATE,
    created,
    deleted,
    observed,
    replica_set,
    settled,
    vmi,
    with_status,
    written,
)

TERMINATING = [{"type": "Ready", "status": "False", "reason": "PodTerminating"}]
ALL_STATES = {
    "running": vmi("running"),
    "pending": vmi("pending", "Pending", ready=False),
    "another release's phase": vmi("unknown", "Migrating", ready=False),
    "deleted": vmi("deleted", deletionTimestamp="2026-01-01T00:00:00Z"),
    "finished": vmi("finished", "Succeeded"),
    "evicted": with_status(vmi("evicted"), conditions=TERMINATING),
}


@pytest.mark.parametrize(
    ("replicas", "owned", "creates", "deletes"),
    [
        (None, [], 1, []),
        (0, [], 0, []),
        (3, [], 3, []),
        (3, ["running"], 2, []),
        (2, ["running", "pending"], 0, []),
        (2, ["running", "another release's phase"], 0, []),
        (1, ["running", "pending"], 0, ["pending"]),
        (0, ["running", "pending"], 0, ["pending", "running"]),
        (1, ["deleted"], 1, []),
        (1, ["finished"], 1, ["finished"]),
        (1, ["evicted"], 1, ["evicted"]),
        (1, ["running", "finished"], 0, ["finished"]),
        (0, ["finished", "deleted"], 0, ["finished"]),
        (600, [], 250, []),
    ],
)
def test_it_creates_what_is_missing_and_deletes_what_is_too_many_or_has_ended(
    replicas: int | None, owned: list[str], creates: int, deletes: list[str]
) -> None:
    actions = plan(observed(replica_set(replicas=replicas), [ALL_STATES[name] for name in owned]))
    assert (len(created(actions)), deleted(actions)) == (creates, deletes)


def test_a_finished_replica_is_replaced_before_it_is_deleted() -> None:
    first, second = plan(observed(replica_set(), [ALL_STATES["finished"]]))
    assert (type(first), type(second)) == (CreateInstances, DeleteInstances)


def test_a_new_replica_has_the_template_and_the_set_as_its_controller() -> None:
    (manifest,) = created(plan(observed(replica_set())))
    meta = manifest["metadata"]
    (owner,) = meta["ownerReferences"]
    assert (meta["labels"], meta["annotations"]) == (LABELS, {"team": "a"})
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("set-uid", True, True)
    assert manifest["spec"] == TEMPLATE["spec"]


@pytest.mark.parametrize(
    ("metadata", "base"),
    [
        ({}, "web"),
        ({"generateName": "a-"}, "a-"),
        ({"name": "b", "generateName": "a-"}, "b"),
        ({"name": "n" * 80}, "n" * 58),
    ],
)
def test_names_begin_as_kubevirts_and_end_as_the_api_servers(metadata: dict[str, str], base: str) -> None:
    subject = replica_set(template={**TEMPLATE, "metadata": {"labels": LABELS, **metadata}})
    (manifest,) = created(plan(observed(subject)))
    name = manifest["metadata"]["name"]
    assert name[:-5] == base
    assert set(name[-5:]) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_a_name_is_taken_until_its_owner_is_gone() -> None:
    subject = replica_set(replicas=2)
    sequence = names(subject, subject.spec)
    first, second, third = next(sequence), next(sequence), next(sequence)
    going = vmi(second, deletionTimestamp="2026-01-01T00:00:00Z")
    found = created(plan(observed(subject, [going])))
    assert [manifest["metadata"]["name"] for manifest in found] == [first, third]


@pytest.mark.parametrize(
    ("goes", "stays"),
    [
        (with_status(vmi("goes", "Pending"), nodeName=""), vmi("stays", "Scheduling", ready=False)),
        (vmi("goes", "Scheduled", ready=False), vmi("stays", ready=False)),
        (vmi("goes", ready=False), vmi("stays")),
        (vmi("goes", creationTimestamp="2026-01-01T00:00:09Z"), vmi("stays")),
    ],
    ids=["without a node", "not running", "not ready", "newest"],
)
def test_a_scale_down_deletes_the_replica_that_does_least(
    goes: VirtualMachineInstance, stays: VirtualMachineInstance
) -> None:
    for pair in ([goes, stays], [stays, goes]):
        assert deleted(plan(observed(replica_set(replicas=1), pair))) == ["goes"]


def test_a_scale_down_deletes_a_replica_on_the_fuller_node() -> None:
    old = {"creationTimestamp": "2025-01-01T00:00:00Z"}
    crowd = [vmi("a", **old), vmi("b", **old), with_status(vmi("alone"), nodeName="node2")]
    assert deleted(plan(observed(replica_set(replicas=2), crowd))) == ["b"]


def lives(subject: Any, count: int) -> Iterator[tuple[float, dict[str, Any]]]:
    """How long each of `count` short lives in a row is waited for, and the manifest that follows."""
    annotations: dict[str, str] = {}
    for number in range(count):
        ended = vmi(f"v{number}", "Failed", ran=0, ended=0, annotations=annotations)
        actions = plan(observed(subject, [ended]))
        waited = next((action.seconds for action in actions if isinstance(action, LookAgain)), 0.0)
        later = replace(observed(subject, [ended]), now=NOW + timedelta(seconds=waited))
        (manifest,) = created(plan(replace(later, names=("next",))))
        annotations = manifest["metadata"]["annotations"]
        yield waited, manifest


def test_short_lives_in_a_row_become_rarer() -> None:
    assert [waited for waited, _ in lives(replica_set(), 8)] == [0.0, 10.0, 40.0, 90.0, 160.0, 250.0, 300.0, 300.0]


def test_a_replica_that_waits_for_its_replacement_stays_and_is_reported() -> None:
    *_, (_, manifest) = lives(replica_set(), 2)
    ended = vmi("short", "Failed", ran=0, ended=0, annotations=manifest["metadata"]["annotations"])
    actions = plan(observed(replica_set(), [ended]))
    (condition,) = written(actions)["conditions"]
    assert (created(actions), deleted(actions)) == ([], [])
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "CrashLoopBackOff")
    assert condition["message"] == (
        "short ended soon after its start, 3 in a row did: it is replaced at 2026-01-01T12:00:40Z"
    )


def test_a_clock_that_is_ahead_delays_no_first_replacement() -> None:
    ended = vmi("ahead", "Failed", ran=0, ended=-600)
    assert len(created(plan(observed(replica_set(), [ended])))) == 1


@pytest.mark.parametrize("change", ["template", "long life", "scaled down"])
def test_the_row_of_short_lives_ends(change: str) -> None:
    *_, (_, manifest) = lives(replica_set(), 4)
    annotations = manifest["metadata"]["annotations"]
    subject, ended = replica_set(), vmi("short", "Failed", ran=0, ended=0, annotations=annotations)
    if change == "template":
        subject = replica_set(template={**TEMPLATE, "spec": {**TEMPLATE["spec"], "hostname": "mended"}})
    elif change == "long life":
        ended = vmi("short", "Failed", ran=400, ended=0, annotations=annotations)
    else:
        subject = replica_set(replicas=0)
    actions = plan(observed(subject, [ended]))
    assert deleted(actions) == ["short"]
    assert len(created(actions)) == subject.spec.wanted_replicas


def test_nothing_is_created_or_deleted_while_it_is_paused() -> None:
    subject = replica_set(replicas=5, paused=True)
    actions = plan(observed(subject, [ALL_STATES["running"], ALL_STATES["finished"]]))
    assert created(actions) == deleted(actions) == []
    (condition,) = written(actions)["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ReplicaPaused", "True", "Paused")
    assert [action.reason for action in actions if isinstance(action, RecordEvent)] == ["SuccessfulPaused"]


def test_a_resumed_set_loses_the_condition_with_an_event() -> None:
    running = ALL_STATES["running"]
    paused = settled(replica_set(paused=True), running)
    actions = plan(observed(replica_set(paused=False, status=paused), [running]))
    assert [action.reason for action in actions if isinstance(action, RecordEvent)] == ["SuccessfulResumed"]
    removed = [operation for operation in actions[0].operations if operation["op"] == "remove"]  # type: ignore[union-attr]
    assert [operation["path"] for operation in removed] == ["/status/conditions"]


def test_the_status_counts_and_names_the_selector() -> None:
    owned = [ALL_STATES[name] for name in ("running", "pending", "deleted")]
    status = settled(replica_set(replicas=2), *owned)
    assert status == {"replicas": 2, "readyReplicas": 1, "labelSelector": "app=web"}
    assert plan(observed(replica_set(replicas=2, status=status), owned)) == ()


def test_an_empty_set_reports_zeros() -> None:
    assert settled(replica_set(replicas=0)) == {"replicas": 0, "readyReplicas": 0, "labelSelector": "app=web"}


def test_a_refusal_is_reported_once_and_tried_again_later_and_later() -> None:
    failure = Failure("FailedCreate", "exceeded quota", NOW)
    first = plan(observed(replica_set(), failure=failure))
    (condition,) = written(first)["conditions"]
    assert (condition["reason"], condition["message"]) == ("FailedCreate", "exceeded quota")
    assert [action.reason for action in first if isinstance(action, RecordEvent)] == ["FailedCreate"]
    assert first[-1] == LookAgain(2.0)
    lasting = {**condition, "lastTransitionTime": "2026-01-01T11:59:30Z"}
    status = {**written(first), "conditions": [lasting]}
    assert plan(observed(replica_set(status=status), failure=failure)) == (LookAgain(30.0),)


def test_a_finished_replica_that_may_fill_the_quota_is_deleted_if_creations_are_refused() -> None:
    failure = Failure("FailedCreate", "exceeded quota", NOW)
    actions = plan(observed(replica_set(), [ALL_STATES["finished"]], failure=failure))
    assert (created(actions), deleted(actions)) == ([], ["finished"])


def test_an_instance_is_released_when_its_labels_change_and_adopted_without_a_controller() -> None:
    lost = vmi("lost", labels={"app": "db"})
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "b"}
    found = vmi("found", ownerReferences=[other])
    release, adoption = plan(observed(replica_set(), [lost], [found]))
    assert isinstance(release, PatchInstance) and isinstance(adoption, PatchInstance)
    assert release.operations[-1] == {"op": "remove", "path": "/metadata/ownerReferences/0"}
    assert (adoption.name, adoption.only_if_replica_set_stays) == ("found", True)
    assert adoption.operations[-1]["path"] == "/metadata/ownerReferences/-"
    for patch in (release, adoption):
        assert [operation["path"] for operation in patch.operations if operation["op"] == "test"] == [
            "/metadata/uid",
            "/metadata/resourceVersion",
        ]


@pytest.mark.parametrize(
    "stranger",
    [
        vmi("ended", "Succeeded", ownerReferences=[]),
        vmi("going", ownerReferences=[], deletionTimestamp="2026-01-01T00:00:00Z"),
    ],
    ids=["ended", "deleted"],
)
def test_an_instance_that_is_of_no_use_is_not_adopted(stranger: VirtualMachineInstance) -> None:
    actions = plan(observed(replica_set(), orphans=[stranger]))
    assert len(created(actions)) == 1
    assert deleted(actions) == []


def test_a_deleted_set_leaves_its_instances_to_the_garbage_collector() -> None:
    subject = replica_set(replicas=0, meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert plan(observed(subject, [ALL_STATES["running"]], [vmi("orphan", ownerReferences=[])])) == ()


def test_a_selector_that_does_not_match_the_template_creates_nothing_without_end() -> None:
    subject = replica_set(template={**TEMPLATE, "metadata": {"labels": {"app": "db"}}})
    actions = plan(observed(subject))
    (condition,) = written(actions)["conditions"]
    assert created(actions) == []
    assert (condition["reason"], condition["message"].split(":")[0]) == (
        "FailedCreate",
        "spec.selector does not match spec.template.metadata.labels",
    )

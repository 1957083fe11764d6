"""Pods on unreachable nodes do not block a rollout; they are replaced when their nodes are back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from virt_core.objects.meta import ObjectMeta
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import status_of
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import NodeCondition, NodeObject, NodeStatus, Observed, PodObject

from tests.unit.operator.suites import (
    HANDLER,
    OPERATOR,
    changed,
    desired_objects,
    handler_hash,
    installed,
    live,
    pod,
    ready_status,
    suite,
)

AWAY, BACK = "Unknown", "True"


def node(name: str, ready: str) -> NodeObject:
    message = "Kubelet stopped posting node status." if ready == AWAY else ""
    return NodeObject(ObjectMeta(name), status=NodeStatus([NodeCondition("Ready", ready, message)]))


def handler(on: str, template: str, *, ready: bool = True, leaving: bool = False) -> PodObject:
    found = pod("virt-handler", template, name=f"virt-handler-{on}", ready=ready)
    meta = found.metadata
    if leaving:
        meta = msgspec.structs.replace(meta, deletion_timestamp="2026-01-31T09:59:00Z")
    return PodObject(meta, {"nodeName": on}, found.status)


def cluster(*pods: PodObject, **nodes: str) -> Observed:
    """As the DaemonSet's controller counts it: a node that is away is wanted too, its pod is not ready."""
    body = next(body for body in desired_objects() if body["kind"] == "DaemonSet")
    counted = {"desiredNumberScheduled": len(nodes), "numberReady": sum(pod.ready for pod in pods)}
    observed = changed(installed(), HANDLER, live(body, {**ready_status(body), **counted}))
    return replace(observed, pods=pods, nodes={name: node(name, ready) for name, ready in nodes.items()})


def message(observed: Observed) -> str:
    assert observed.suite is not None
    status = status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, None)
    return next(condition.message for condition in status.conditions if condition.type == "Available")


@pytest.mark.parametrize("leaving", [False, True])
def test_an_old_pod_on_a_dead_node_does_not_stop_the_others_from_being_replaced(leaving: bool) -> None:
    lost = handler("a", "old", ready=False, leaving=leaving)
    observed = cluster(lost, handler("b", "old"), handler("c", handler_hash()), a=AWAY, b=BACK, c=BACK)
    assert plan(observed, OPERATOR).actions == (
        DeletePod("virt-handler-b", "uid-virt-handler-b", "made from an older template"),
    )


def test_a_rollout_ends_without_the_dead_node_and_names_it() -> None:
    observed = cluster(handler("a", "old", ready=False), handler("b", handler_hash()), a=AWAY, b=BACK)
    decided = plan(observed, OPERATOR)
    assert (decided.actions, decided.waits) == ((), ())
    text = message(replace(observed, suite=suite()))
    assert "DaemonSet kubevirt/virt-handler: the old pod on node a will be replaced when the node is back" in text


def test_the_pod_is_replaced_when_its_node_is_back() -> None:
    observed = cluster(handler("a", "old"), handler("b", handler_hash()), a=BACK, b=BACK)
    assert plan(observed, OPERATOR).actions == (
        DeletePod("virt-handler-a", "uid-virt-handler-a", "made from an older template"),
    )


def test_a_pod_of_the_newest_template_on_a_dead_node_is_not_waited_for() -> None:
    observed = cluster(handler("a", handler_hash(), ready=False), handler("b", handler_hash()), a=AWAY, b=BACK)
    assert plan(observed, OPERATOR).waits == ()
    assert "the pod on node a does not count until the node is back" in message(observed)


def test_a_pod_of_a_deleted_node_counts_nowhere() -> None:
    observed = cluster(handler("gone", "old", ready=False), handler("b", handler_hash()), b=BACK)
    decided = plan(observed, OPERATOR)
    assert (decided.actions, decided.waits) == ((), ())


def test_a_daemon_set_that_does_not_count_dead_nodes_is_waited_for_as_well() -> None:
    new = handler_hash()
    pods = (handler("a", new, ready=False), handler("b", new), handler("c", new, ready=False))
    observed = cluster(*pods, a=AWAY, b=BACK, c=BACK)
    body = next(body for body in desired_objects() if body["kind"] == "DaemonSet")
    counted = {"desiredNumberScheduled": 2, "numberReady": 1}
    uncounted = changed(observed, HANDLER, live(body, {**ready_status(body), **counted}))
    assert "0 of 1 pods are ready" in plan(uncounted, OPERATOR).waits[0].why


def test_a_pod_that_is_not_ready_on_a_living_node_is_waited_for() -> None:
    new = handler_hash()
    lost, broken = handler("a", "old", ready=False), handler("b", new, ready=False)
    observed = cluster(lost, broken, handler("c", "old"), a=AWAY, b=BACK, c=BACK)
    decided = plan(observed, OPERATOR)
    assert decided.actions == ()
    assert "1 of 2 pods are ready" in decided.waits[0].why


def test_many_dead_nodes_are_counted_and_some_are_named() -> None:
    dead = [f"n{number}" for number in range(9)]
    nodes = {**dict.fromkeys(dead, AWAY), "b": BACK}
    observed = cluster(*(handler(name, "old", ready=False) for name in dead), handler("b", handler_hash()), **nodes)
    assert "the old pods on 9 nodes (n0, n1, n2, n3, n4, …) will be replaced when the nodes are back" in message(
        observed
    )


def test_removal_names_the_node_that_its_last_pod_waits_for() -> None:
    leaving = suite(deletion_timestamp="2026-01-31T10:00:00Z")
    last = replace(cluster(handler("a", "old", leaving=True), a=AWAY), suite=leaving, owned={})
    (wait,) = plan(last, OPERATOR).waits
    assert wait.what == "Pod virt-handler-a"
    trouble = "node a is not ready (Kubelet stopped posting node status.)"
    assert wait.why == f"ending; {trouble}: it ends when the node is back or deleted"

"""Available is True only while what the suite promises works, and does not flap while parts of it are replaced."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectMeta
from virt_operator.change.plan import plan
from virt_operator.reconcile.availability import inherited, outages, since
from virt_operator.reconcile.status import status_of
from virt_operator.strategy.ref import Ref
from virt_operator.suite.observed import NodeCondition, NodeObject, NodeSpec, NodeStatus, Observed, PodObject

from tests.unit.operator.suites import (
    API,
    API_SERVICE,
    HANDLER,
    NOW,
    OPERATOR,
    changed,
    deployed,
    desired_objects,
    handler_hash,
    installed,
    live,
    pod,
    ready_status,
    suite,
)

REFUSED = 'failed calling webhook "virtualmachineinstances-mutator.kubevirt.io": connection refused'


def status(observed: Observed, failure: str | None = None, *, seconds: float = 0) -> KubeVirtStatus:
    """After outages have lasted that long."""
    assert observed.suite is not None
    begun = since(inherited(observed), outages(observed), observed.now)
    later = replace(observed, now=observed.now + timedelta(seconds=seconds), outages_since=begun)
    return status_of(observed.suite, later, plan(later, OPERATOR), OPERATOR, failure)


def three(found: KubeVirtStatus) -> str:
    by_type = {condition.type: condition for condition in found.conditions}
    letters = "/".join(by_type[kind].status[0] for kind in ("Available", "Progressing", "Degraded"))
    return f"{letters} {by_type['Available'].reason}"


def message(found: KubeVirtStatus) -> str:
    return next(condition.message for condition in found.conditions if condition.type == "Available")


def with_status(observed: Observed, ref: Ref, **changes: Any) -> Observed:
    body = next(body for body in desired_objects() if (body["kind"], body["metadata"]["name"]) == (ref.kind, ref.name))
    before = observed.owned[ref]
    found = live(body, {**ready_status(body), **changes})
    return changed(observed, ref, msgspec.structs.replace(before, status=found.status))


def away(observed: Observed) -> Observed:
    """The API server does not reach virt-api, whose pods are ready all the same."""
    condition = {
        "type": "Available",
        "status": "False",
        "reason": "FailedDiscoveryCheck",
        "message": "no route to host",
    }
    return with_status(observed, API_SERVICE, conditions=[condition])


def node(name: str, *, ready: bool = True, cordoned: bool = False) -> NodeObject:
    conditions = [NodeCondition("Ready", "True" if ready else "Unknown")]
    return NodeObject(ObjectMeta(name), NodeSpec(cordoned), NodeStatus(conditions))


def handler(on: str, *, ready: bool = True) -> PodObject:
    found = pod("virt-handler", handler_hash(), name=f"virt-handler-{on}", ready=ready)
    return PodObject(found.metadata, {"nodeName": on}, found.status)


def on_nodes(*pods: PodObject, nodes: tuple[NodeObject, ...]) -> Observed:
    ready = sum(pod.ready for pod in pods)
    observed = with_status(installed(), HANDLER, desiredNumberScheduled=len(nodes), numberReady=ready)
    return replace(observed, pods=pods, nodes={node.metadata.name: node for node in nodes})


def test_a_virt_api_that_the_api_server_does_not_reach_makes_the_suite_unavailable_at_once() -> None:
    found = status(away(installed()))
    assert three(found) == "F/F/T ComponentsNotReady"
    assert "APIService v1.subresources.kubevirt.io: not Available: no route to host" in message(found)


def test_webhooks_that_the_api_server_cannot_call_make_the_suite_unavailable() -> None:
    found = status(replace(installed(), admission_trouble=REFUSED))
    assert three(found) == "F/F/T ComponentsNotReady"
    assert f"webhooks for VirtualMachineInstances: {REFUSED}" in message(found)


def test_during_an_update_the_suite_is_available_only_while_it_serves() -> None:
    updating = replace(installed(), suite=suite({"imageTag": "v1.3.0"}, deployed()))
    assert three(status(updating)) == "T/T/T UpdateInProgress"
    assert three(status(away(updating))) == "F/T/T UpdateInProgress"


def test_a_failing_pass_does_not_hide_an_outage_nor_make_one() -> None:
    assert three(status(installed(), failure="403: no")) == "T/F/T DeploymentFailed"
    found = status(away(installed()), failure="403: no")
    assert three(found) == "F/F/T DeploymentFailed"
    assert "403: no" in message(found) and "no route to host" in message(found)


def test_an_outage_is_reported_and_ends_though_the_spec_is_refused() -> None:
    ready = status(replace(installed(), suite=suite()))
    refused = {"workloads": {"replicas": 3}}
    found = status(replace(away(installed()), suite=suite(refused, ready)))
    assert three(found) == "F/F/T ComponentsNotReady"
    again = status(replace(installed(), suite=suite(refused, found)))
    assert three(again) == "T/F/F AllComponentsReady"
    assert {condition.type: condition.reason for condition in again.conditions}["Synchronized"] == "UnsupportedField"


def test_a_handler_that_is_replaced_leaves_the_suite_available_one_that_is_missing_does_not() -> None:
    only = on_nodes(handler("a", ready=False), nodes=(node("a"),))
    assert three(status(only, seconds=5)) == "T/F/T ComponentsNotReady"
    found = status(only, seconds=20)
    assert three(found) == "F/F/T ComponentsNotReady"
    assert "no virt-handler is ready on a node that takes pods" in message(found)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (on_nodes(handler("a"), handler("b", ready=False), nodes=(node("a"), node("b"))), "F/F/T"),
        (on_nodes(handler("a"), handler("b", ready=False), nodes=(node("a"), node("b", cordoned=True))), "F/F/T"),
        (on_nodes(handler("a"), handler("b", ready=False), nodes=(node("a", cordoned=True), node("b"))), "F/F/T"),
        (on_nodes(handler("a"), handler("b", ready=False), nodes=(node("a"), node("b", ready=False))), "T/F/F"),
        (on_nodes(handler("a", ready=False), nodes=(node("a", ready=False),)), "T/F/F"),
        (on_nodes(handler("a"), nodes=(node("a", cordoned=True),)), "T/F/F"),
    ],
    ids=[
        "one of two",
        "one of two, cordoned",
        "the other is cordoned",
        "the other is dead",
        "all nodes dead",
        "all nodes cordoned",
    ],
)
def test_each_ready_node_needs_a_handler_and_one_of_them_must_take_pods(observed: Observed, expected: str) -> None:
    assert three(status(observed, seconds=60)).split()[0] == expected


def test_a_node_whose_handler_is_replaced_slowly_does_not_count_and_is_named_when_it_does() -> None:
    two = on_nodes(handler("a"), handler("b", ready=False), nodes=(node("a"), node("b")))
    assert three(status(two, seconds=59)) == "T/F/T ComponentsNotReady"
    found = message(status(two, seconds=60))
    assert "DaemonSet kubevirt/virt-handler on node b: no virt-handler is ready" in found


def test_handlers_that_are_replaced_one_after_another_for_long_leave_the_suite_available() -> None:
    nodes = (node("a"), node("b"))
    first = on_nodes(handler("a", ready=False), handler("b"), nodes=nodes)
    second = on_nodes(handler("a"), handler("b", ready=False), nodes=nodes)
    begun = since({}, outages(first), NOW)
    later = NOW + timedelta(seconds=50)
    assert set(since(begun, outages(second), later).values()) == {later}


def test_a_rolling_restart_with_a_ready_replica_stays_available() -> None:
    rolling = with_status(installed(), API, availableReplicas=1, updatedReplicas=1)
    assert three(status(rolling, seconds=60)) == "T/F/T ComponentsNotReady"


def test_replicas_that_a_hold_keeps_from_being_available_serve() -> None:
    held = with_status(installed(), API, availableReplicas=0, readyReplicas=2)
    assert outages(held) == ()


def test_an_outage_is_counted_from_when_it_began_until_it_ends() -> None:
    begun = since({}, outages(away(installed())), NOW)
    later = NOW + timedelta(seconds=30)
    assert since(begun, outages(away(installed())), later) == begun
    assert since(begun, outages(installed()), later) == {}


def test_a_new_leader_keeps_a_suite_unavailable_during_an_outage_that_already_counted() -> None:
    only = on_nodes(handler("n1", ready=False), nodes=(node("n1"),))
    before = status(only, seconds=20)
    assert three(before) == "F/F/T ComponentsNotReady"
    assert three(status(replace(only, suite=suite({}, before)))) == "F/F/T ComponentsNotReady"

"""The choice of a handler while pods are replaced."""

from __future__ import annotations

from virt_api.subresources.handler_pods import HandlerPod, PodSpec, PodStatus, choose, server_name
from virt_core.objects.meta import Condition, ObjectMeta


def pod(name: str, node: str, *, address: str = "10.0.0.1", ready: bool = True, deleted: bool = False) -> HandlerPod:
    metadata = ObjectMeta(name, deletion_timestamp="2026-01-01T00:00:00Z" if deleted else None)
    conditions = [Condition("Ready", "True" if ready else "False")]
    return HandlerPod(metadata, PodSpec(node), PodStatus(address, conditions))


def chosen(*pods: HandlerPod) -> str | None:
    found = choose(pods, "node1")
    return found.metadata.name if found else None


def test_calls_prefer_the_handler_that_is_ready_and_not_terminating() -> None:
    assert chosen(pod("other", "node2"), pod("old", "node1", deleted=True), pod("new", "node1", ready=False)) == "new"
    assert chosen(pod("unready", "node1", ready=False), pod("ready", "node1")) == "ready"
    assert chosen(pod("leaving", "node1", deleted=True)) == "leaving"


def test_there_may_be_none() -> None:
    assert chosen(pod("other", "node2"), pod("without address", "node1", address="")) is None


def test_a_handler_must_prove_its_node_and_one_of_an_earlier_release_that_it_is_one() -> None:
    earlier = HandlerPod(ObjectMeta("old"), PodSpec("node1"))
    assert server_name(earlier, "kubevirt") == "virt-handler.kubevirt.svc"
    marked = ObjectMeta("new", annotations={"kubevirt.io/certificate-per-node": "true"})
    assert server_name(HandlerPod(marked, PodSpec("node1")), "kubevirt") == "node1.virt-handler.kubevirt.svc"

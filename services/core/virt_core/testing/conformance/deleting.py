"""Finalizers, graceful deletion of pods, and what an object that is being deleted refuses."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from virt_core.kube.resource import CONFIG_MAPS, PODS
from virt_core.testing.conformance.calls import Check, config_map, pod, refused


async def a_finalizer_keeps_the_object(client: KubeClient, namespace: str) -> None:
    """It is marked once, can be changed, and goes with the last finalizer; a second delete changes nothing."""
    body = config_map("kept")
    body["metadata"]["finalizers"] = ["example.com/first", "example.com/second"]
    created = await client.create(CONFIG_MAPS, namespace, body)
    await client.delete(CONFIG_MAPS, namespace, "kept")
    marked = await client.get(CONFIG_MAPS, namespace, "kept")
    assert marked["metadata"]["deletionTimestamp"] and marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["uid"] == created["metadata"]["uid"]
    await client.delete(CONFIG_MAPS, namespace, "kept")
    assert await client.get(CONFIG_MAPS, namespace, "kept") == marked
    await client.merge_patch(CONFIG_MAPS, namespace, "kept", {"data": {"a": "2"}})
    left = {"metadata": {"finalizers": ["example.com/second"]}}
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "kept", left)
    assert patched["metadata"]["finalizers"] == ["example.com/second"]
    await refused(AlreadyExists, client.create(CONFIG_MAPS, namespace, config_map("kept")))
    last = await client.merge_patch(CONFIG_MAPS, namespace, "kept", {"metadata": {"finalizers": []}})
    assert last["metadata"]["uid"] == created["metadata"]["uid"]
    await refused(NotFound, client.get(CONFIG_MAPS, namespace, "kept"))


async def no_finalizer_is_added_to_what_is_being_deleted(client: KubeClient, namespace: str) -> None:
    """Nobody can unmark it either."""
    body = config_map("ending")
    body["metadata"]["finalizers"] = ["example.com/first"]
    await client.create(CONFIG_MAPS, namespace, body)
    await client.delete(CONFIG_MAPS, namespace, "ending")
    more = [{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/late"}]
    await refused(Invalid, client.json_patch(CONFIG_MAPS, namespace, "ending", more))
    unmarked = {"metadata": {"deletionTimestamp": None}}
    assert "deletionTimestamp" in (await client.merge_patch(CONFIG_MAPS, namespace, "ending", unmarked))["metadata"]
    await client.merge_patch(CONFIG_MAPS, namespace, "ending", {"metadata": {"finalizers": None}})
    await refused(NotFound, client.get(CONFIG_MAPS, namespace, "ending"))


async def a_pod_on_a_node_waits_for_its_kubelet(client: KubeClient, namespace: str) -> None:
    """Marked with its grace period, which can only become shorter; gone by a delete with grace 0."""
    created = await pod(client, namespace, "graceful", node="absent", grace=600)
    await client.delete(PODS, namespace, "graceful")
    marked = (await client.get(PODS, namespace, "graceful"))["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 600 and marked["deletionTimestamp"] > marked["creationTimestamp"]
    assert marked["generation"] == created["metadata"]["generation"] + 1
    await client.delete(PODS, namespace, "graceful", grace=900)
    assert (await client.get(PODS, namespace, "graceful"))["metadata"]["deletionTimestamp"] == (
        marked["deletionTimestamp"]
    )
    await client.delete(PODS, namespace, "graceful", grace=300)
    shorter = (await client.get(PODS, namespace, "graceful"))["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 300 and shorter["deletionTimestamp"] < marked["deletionTimestamp"]
    assert shorter["generation"] == marked["generation"]
    await refused(Conflict, client.delete(PODS, namespace, "graceful", grace=0, uid="another"))
    await client.delete(PODS, namespace, "graceful", grace=0, uid=marked["uid"])
    await refused(NotFound, client.get(PODS, namespace, "graceful"))


async def a_pod_without_a_node_goes_at_once(client: KubeClient, namespace: str) -> None:
    """Nobody runs it."""
    await pod(client, namespace, "unscheduled", node=None, grace=600)
    await client.delete(PODS, namespace, "unscheduled")
    await refused(NotFound, client.get(PODS, namespace, "unscheduled"))


async def a_pod_that_ended_goes_at_once(client: KubeClient, namespace: str) -> None:
    """There is nothing to wait for."""
    await pod(client, namespace, "ended", node="absent", grace=600)
    await client.merge_patch(PODS, namespace, "ended", {"status": {"phase": "Failed"}}, "status")
    await client.delete(PODS, namespace, "ended")
    await refused(NotFound, client.get(PODS, namespace, "ended"))


async def a_finalizer_outlives_a_pods_grace(client: KubeClient, namespace: str) -> None:
    """Deleted with grace 0, the pod is there until the finalizer is removed."""
    await pod(client, namespace, "finalized", node="absent", grace=600, finalizers=["example.com/first"])
    await client.delete(PODS, namespace, "finalized", grace=0)
    kept = await client.get(PODS, namespace, "finalized")
    assert kept["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.merge_patch(PODS, namespace, "finalized", {"metadata": {"finalizers": None}})
    await refused(NotFound, client.get(PODS, namespace, "finalized"))


CHECKS: tuple[Check, ...] = (
    a_finalizer_keeps_the_object,
    no_finalizer_is_added_to_what_is_being_deleted,
    a_pod_on_a_node_waits_for_its_kubelet,
    a_pod_without_a_node_goes_at_once,
    a_pod_that_ended_goes_at_once,
    a_finalizer_outlives_a_pods_grace,
)

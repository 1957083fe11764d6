"""Evictions of launcher pods: who is evicted, who is marked for evacuation, and how that is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import get, kubectl, until
from tests.e2e.guests import Guest, manifest, running
from tests.e2e.migrations import evict

pytestmark = pytest.mark.parallel


def guest_with(name: str, strategy: str) -> dict[str, Any]:
    body = manifest(name)
    body["spec"]["evictionStrategy"] = strategy
    return body


def marked(guest: Guest) -> str:
    return str(guest.vmi["status"].get("evacuationNodeName", ""))


def test_an_external_eviction_is_marked_reported_and_cancelled() -> None:
    with running(guest_with("elsewhere", "External")) as (guest,):
        pod, node = guest.pod["metadata"]["name"], guest.vmi["status"]["nodeName"]
        triggered = 'Eviction triggered evacuation of VMI "default/elsewhere"'
        assert triggered in evict(pod, deleteOptions={"dryRun": ["All"]}) and marked(guest) == ""
        assert triggered in evict(pod) and marked(guest) == node
        assert f"Evacuation in progress: {triggered}" in evict(pod)
        until(lambda: guest.condition("EvictionRequested").get("status") == "True", "EvictionRequested")
        key = "descheduler.alpha.kubernetes.io/eviction-in-progress"
        until(lambda: guest.pod["metadata"]["annotations"].get(key) == "true", "the pod's annotation")
        path = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/elsewhere/evacuate/cancel"
        kubectl("replace", "--raw", path, "-f", "-", stdin="{}")
        assert marked(guest) == ""
        until(lambda: not guest.condition("EvictionRequested"), "EvictionRequested to go")
        until(lambda: key not in guest.pod["metadata"]["annotations"], "the pod's annotation to go")
        assert guest.phase == "Running"


def test_a_guest_that_cannot_migrate_is_not_evicted_and_the_answer_says_why() -> None:
    body = guest_with("rooted", "LiveMigrate")
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    body["spec"]["networks"] = [{"name": "default", "pod": {}}]
    with running(body) as (guest,):
        until(lambda: guest.condition("LiveMigratable").get("status") == "False", "LiveMigratable")
        found = guest.condition("LiveMigratable")
        refusal = evict(guest.pod["metadata"]["name"])
        print(refusal)
        assert "VMI rooted is configured with an eviction strategy but is not live-migratable" in refusal
        assert found["reason"] in refusal and found["message"] in refusal
        assert marked(guest) == "" and guest.phase == "Running"
        kubectl("delete", "vmi", "rooted", "--wait=false")
        until(lambda: not evict_of(guest), "the pod to be free to go once its guest has been deleted")


def evict_of(guest: Guest) -> str:
    """The refusal, "" if there is no pod."""
    names = [pod["metadata"]["name"] for pod in get("pods", "-l", "vmi.kubevirt.io/id=rooted")["items"]]
    return evict(names[0]) if names else ""


@pytest.mark.parametrize("strategy", ["None", "LiveMigrateIfPossible"])
def test_a_guest_that_does_not_insist_is_evicted(strategy: str) -> None:
    body = guest_with("light", strategy)
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    body["spec"]["networks"] = [{"name": "default", "pod": {}}]
    with running(body) as (guest,):
        assert evict(guest.pod["metadata"]["name"]) == ""
        until(lambda: guest.phase == "Failed", "the guest to be Failed")

"""Conditions and events of a VMI whose pod cannot start or is evicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import apply, kubectl, until, wait
from tests.e2e.guests import Guest, created, manifest, running
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

PRIVATE = "/run/kubevirt-private"  # an emptyDir; /var/run is a link that leads out of the container from here
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"a": "b"}}


def message_of(guest: Guest, kind: str, reason: str, within: float = PATIENCE) -> str:
    """The condition's message once it has that reason."""
    took = until(lambda: guest.condition(kind).get("reason") == reason, f"{kind} to be {reason}", within)
    found = guest.condition(kind)
    assert found["status"] == "False"
    until(lambda: reason in kubectl("describe", "vmi", guest.name).partition("Events:")[2], "an event to say so")
    print(f"{reason} after {took:.1f} s: {found['message']}")
    return str(found["message"])


def test_a_guest_that_fits_on_no_node_is_reported_with_the_schedulers_message() -> None:
    body = manifest("placeless")
    body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "no-such-node"}
    with created(body) as (guest,):
        assert "nodes are available" in message_of(guest, "PodScheduled", "Unschedulable")
        assert guest.phase == "Scheduling"


def test_a_secret_that_is_not_there_is_named_and_the_guest_starts_when_it_is() -> None:
    body = manifest("secretless")
    body["spec"]["domain"]["devices"]["disks"] = [{"name": "late", "disk": {"bus": "virtio"}}]
    body["spec"]["volumes"] = [{"name": "late", "secret": {"secretName": "late"}}]
    try:
        with created(body) as (guest,):
            assert '"late" not found' in message_of(guest, "Synchronized", "FailedMount")
            apply(SECRET)
            # The kubelet tries again after two minutes at the latest.
            wait("vmi", guest.name, "jsonpath={.status.phase}=Running", seconds=150 + PATIENCE)
            until(lambda: guest.condition("Synchronized").get("status", "True") == "True", "nothing to be missing")
    finally:
        kubectl("delete", "secret", "late", "--ignore-not-found")


def test_a_claim_that_is_not_there_is_named() -> None:
    body = manifest("claimless")
    body["spec"]["domain"]["devices"]["disks"] = [{"name": "data", "disk": {"bus": "virtio"}}]
    body["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "no-such-claim"}}]
    with created(body) as (guest,):
        assert "no-such-claim" in message_of(guest, "Synchronized", "FailedPvcNotFound")
        assert guest.phase == "Pending"


@pytest.mark.parametrize("how", ["delete", "evict"])
def test_a_guest_whose_pod_is_evicted_fails_with_the_reason(how: str) -> None:
    with running(manifest("taken")) as (guest,):
        name = guest.pod["metadata"]["name"]
        if how == "delete":
            kubectl("delete", "pod", name, "--wait=false")
        else:
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
            path = f"/api/v1/namespaces/default/pods/{name}/eviction"
            kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        took = until(lambda: guest.phase == "Failed", "the guest to be Failed")
        status, ready = guest.vmi["status"], guest.condition("Ready")
        print(f"{how}: Failed after {took:.1f} s: {status['reason']}: {ready['message']}")
        assert name in ready["message"]
        assert how == "delete" or "EvictionByEvictionAPI" in ready["message"]
        until(lambda: name not in kubectl("get", "pods", "-o", "name"), "its pod to go")


@pytest.mark.slow
def test_a_guest_whose_pod_the_kubelet_evicts_has_failed_with_the_kubelets_reason() -> None:
    body = manifest("greedy")
    body["spec"]["domain"]["resources"] = {"limits": {"ephemeral-storage": "64Mi"}}
    with running(body) as (guest,):
        filler = Path(f"/proc/{guest.qemu_pid()}/root{PRIVATE}/filler")
        filler.write_bytes(bytes(128 << 20))
        # The kubelet measures pods' folders once a minute.
        took = until(lambda: guest.phase == "Failed", "the guest to be Failed", 150)
        reason, ready = guest.vmi["status"]["reason"], guest.condition("Ready")
        print(f"Failed after {took:.1f} s: {reason}: {ready['message']}")
        # The kubelet ends the guest and tells the API server why; the controller may hear of it before the end.
        assert reason in ("Evicted", "PodTerminating")
        assert (ready["status"], ready["reason"]) == ("False", reason)
        assert "ephemeral local storage usage exceeds" in ready["message"]


def test_ready_is_what_the_users_probe_finds() -> None:
    body = manifest("unheard")
    body["spec"]["readinessProbe"] = {"tcpSocket": {"port": 9}, "periodSeconds": 1}  # nobody listens there
    with running(body) as (guest,):
        assert "compute" in str(until_mirrored(guest)["message"])
        assert guest.condition("Ready")["status"] == "False"


def until_mirrored(guest: Guest) -> dict[str, Any]:
    until(lambda: guest.condition("Ready").get("reason") == "ContainersNotReady", "the kubelet's verdict")
    return guest.condition("Ready")


def test_what_a_user_may_ask_of_the_pod_is_in_the_status() -> None:
    with running(manifest("plain")) as (guest,):
        status = guest.vmi["status"]
        assert status["qosClass"] == guest.pod["status"]["qosClass"]
        assert status["runtimeUser"] == 107
        assert status["launcherContainerImageVersion"] == guest.pod["spec"]["containers"][0]["image"]

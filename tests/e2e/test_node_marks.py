"""The handlers' marks on their nodes: heartbeat, schedulable, and devices."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

from tests.e2e.cluster import NAMESPACE, get, kubectl, nodes, until

HEARTBEAT, SCHEDULABLE = "kubevirt.io/heartbeat", "kubevirt.io/schedulable"
KVM, TUN = "devices.kubevirt.io/kvm", "devices.kubevirt.io/tun"
OFTEN_SECONDS = 120  # every minute, and what a busy machine adds


def handlers() -> list[Any]:
    """The handler pods that stay."""
    pods: list[Any] = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-handler")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def heartbeat(node: str) -> datetime:
    """When the node's handler last lived."""
    return datetime.fromisoformat(get("node", node)["metadata"]["annotations"][HEARTBEAT])


def test_nodes_with_a_handler_take_machines_and_their_heartbeats_are_young() -> None:
    for pod in handlers():
        node = get("node", pod["spec"]["nodeName"])
        assert node["metadata"]["labels"][SCHEDULABLE] == "true"
        age = (datetime.now(UTC) - heartbeat(node["metadata"]["name"])).total_seconds()
        print(f"{node['metadata']['name']}: heartbeat {age:.0f} s old")
        assert -5 < age < OFTEN_SECONDS
        assert int(node["status"]["allocatable"][TUN].replace("k", "000")) >= 110


def test_kvm_is_offered_exactly_where_a_probe_guest_ran_to_its_mark() -> None:
    for pod in handlers():
        lines = kubectl("-n", NAMESPACE, "logs", pod["metadata"]["name"]).splitlines()
        probed = [json.loads(line) for line in lines if '"probing KVM"' in line]
        offered = get("node", pod["spec"]["nodeName"])["status"]["allocatable"].get(KVM, "0")
        print(f"{pod['spec']['nodeName']}: {probed}, {KVM}: {offered}")
        assert len(probed) == 1
        assert (offered != "0") == probed[0]["runs_guests"]


def test_a_handler_that_is_replaced_disturbs_no_scheduling_and_the_next_one_beats_at_once() -> None:
    node = nodes()[0]
    (old,) = [pod for pod in handlers() if pod["spec"]["nodeName"] == node]
    version = get("node", node)["metadata"]["resourceVersion"]
    path = f"/api/v1/nodes?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3D{node}&timeoutSeconds=600"
    with subprocess.Popen(["kubectl", "get", "--raw", path], stdout=subprocess.PIPE, text=True) as watching:
        kubectl("-n", NAMESPACE, "delete", "pod", old["metadata"]["name"], "--wait")
        gone = datetime.now(UTC).replace(microsecond=0)
        took = until(lambda: heartbeat(node) >= gone, "the next handler's heartbeat")
        print(f"{node}: heartbeat of the next handler {took:.1f} s after the end of the one before")
        seen = marks_until(watching, gone)
        watching.terminate()
    assert set(seen) == {"true"}, seen


def marks_until(watching: subprocess.Popen[str], moment: datetime) -> list[str | None]:
    """What was seen until the heartbeat of that moment or later."""
    assert watching.stdout is not None
    seen = []
    for line in watching.stdout:
        meta = json.loads(line)["object"]["metadata"]
        seen.append(meta["labels"].get(SCHEDULABLE))
        if datetime.fromisoformat(meta["annotations"][HEARTBEAT]) >= moment:
            return seen
    raise AssertionError(f"the watch ended: {seen}")

"""The token of a handler against the API server: it may change its node's marks and its own VMIs, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from virt_core.conventions.accounts import CONTROLLER, user_of
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import NODES, VIRTUAL_MACHINE_INSTANCES, Resource
from virt_operator.strategy.handler_policies import MACHINE_POLICY, NODE_POLICY

from tests.e2e.audit import STOLEN_TOKEN
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, nodes, until, wait
from tests.e2e.guests import Guest, manifest, running

pytestmark = pytest.mark.parallel

HERE, ELSEWHERE = "confined-here", "confined-elsewhere"


@dataclass(frozen=True)
class Handler:
    """Requests with the token of one node's handler. Each returns the API server's refusal, "" if there is none."""

    kubeconfig: Path
    node: str
    other_node: str

    def patch(self, resource: Resource, name: str, body: Any) -> str:
        """A dry run: it goes through admission and stores nothing."""
        namespace = "default" if resource.namespaced else None
        return self.attempt(lambda client: client.merge_patch(resource, namespace, name, body, dry_run=True))

    def attempt(self, request: Callable[[KubeClient], Awaitable[Any]]) -> str:
        async def attempt() -> str:
            async with KubeClient.connect(STOLEN_TOKEN) as client:
                try:
                    await request(client)
                except KubeError as error:
                    return str(error)
            return ""

        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("KUBECONFIG", str(self.kubeconfig))
            return asyncio.run(attempt())


@pytest.fixture(scope="module")
def handler(suite: None, tmp_path_factory: pytest.TempPathFactory) -> Handler:
    here, elsewhere = nodes()
    if here == elsewhere:
        pytest.skip("needs two nodes")
    pods = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-handler")["items"]
    (pod,) = [p for p in pods if p["spec"]["nodeName"] == here and "deletionTimestamp" not in p["metadata"]]
    meta = pod["metadata"]
    bound = (f"--bound-object-name={meta['name']}", f"--bound-object-uid={meta['uid']}", "--bound-object-kind=Pod")
    token = kubectl("-n", NAMESPACE, "create", "token", "kubevirt-handler", *bound).strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = tmp_path_factory.mktemp("handler") / "kubeconfig"
    path.write_text(json.dumps(config))
    return Handler(path, here, elsewhere)


@pytest.fixture(scope="module")
def guests(handler: Handler) -> Iterator[tuple[Guest, Guest]]:
    """One on the handler's node, one on another; both with a label, an annotation and somebody's finalizer."""
    bodies = [manifest(HERE, node=handler.node), manifest(ELSEWHERE, node=handler.other_node)]
    for body in bodies:
        body["metadata"] |= {"labels": {"app": "shop"}, "annotations": {"note": "kept"}}
    with running(*bodies) as found:
        yield found


NODES_NOT = {
    "label another node": ("other", {"metadata": {"labels": {"kubevirt.io/schedulable": "false"}}}),
    "beat for another node": ("other", {"metadata": {"annotations": {"kubevirt.io/heartbeat": "x"}}}),
    "taint its node": ("own", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
    "cordon its node": ("own", {"spec": {"unschedulable": True}}),
    "add a label": ("own", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
    "change a label": ("own", {"metadata": {"labels": {"kubernetes.io/hostname": "x"}}}),
    "remove a label": ("own", {"metadata": {"labels": {"kubernetes.io/hostname": None}}}),
    "add an annotation": ("own", {"metadata": {"annotations": {"example.com/x": "y"}}}),
    "add a finalizer": ("own", {"metadata": {"finalizers": ["example.com/x"]}}),
}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "0b8f3c52-1f7e-4f0a-9d43-7a1f5f2f9c00"}
MACHINES_NOT = {
    "the status of another node's machine": (ELSEWHERE, {"status": {"phase": "Failed"}}),
    "another node's machine to its own node": (ELSEWHERE, {"status": {"nodeName": "OWN", "activePods": {"x": "OWN"}}}),
    "labels of another node's machine": (ELSEWHERE, {"metadata": {"labels": {"kubevirt.io/nodeName": "OWN"}}}),
    "the spec of another node's machine": (ELSEWHERE, {"spec": {"domain": {"memory": {"guest": "64Mi"}}}}),
    "the spec of its machine": (HERE, {"spec": {"terminationGracePeriodSeconds": 1}}),
    "the node label of its machine": (HERE, {"metadata": {"labels": {"kubevirt.io/nodeName": "OTHER"}}}),
    "a user's label": (HERE, {"metadata": {"labels": {"app": None}}}),
    "a user's annotation": (HERE, {"metadata": {"annotations": {"note": "lost"}}}),
    "finalizers": (HERE, {"metadata": {"finalizers": []}}),
    "owners": (HERE, {"metadata": {"ownerReferences": [OWNER]}}),
    "pods of its machine": (HERE, {"status": {"activePods": {"x": "OTHER"}}}),
    "its machine to another node": (HERE, {"status": {"nodeName": "OTHER"}}),
    "the whole status": (HERE, {"status": None}),
}


def state(**fields: Any) -> dict[str, Any]:
    return {"status": {"migrationState": fields}}


# "target": the guest moves from the other node to this one; "source": from this node to the other one.
SIDES_NOT: dict[str, dict[str, Any]] = {
    "target": {
        "the phase": {"status": {"phase": "Failed"}},
        "a condition": {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
        "the node before the guest has arrived": {"status": {"nodeName": "OWN"}},
        "the pods": {"status": {"activePods": {"pod-a": None}}},
        "the migration": {"status": {"migrationState": None}},
        "another migration": state(migrationUid="m2"),
        "another target": state(targetNode="OTHER"),
        "a request to abort": state(abortRequested=True),
        "the source's identity": state(sourceCertificateAuthority="mine"),
        "that the source has given the guest up": state(sourceSwitched=True),
        "how far the copy is": state(progress={"remainingBytes": 1}),
        "a field of nobody": state(targetCPUSet=[1]),
    },
    "source": {
        "the target's address": state(targetNodeAddress="10.0.0.1"),
        "the guest's arrival": {"status": {"nodeName": "OTHER", "migrationState": {"completed": True}}},
        "another source": state(sourceNode="OTHER"),
    },
}
SIDES: dict[str, dict[str, Any]] = {
    "target": {
        "where it listens": state(targetNodeAddress="10.0.0.1", targetCertificateAuthority="mine"),
        "a failure": state(failed=True, completed=True, failureReason="words"),
        "the hand-over": {"status": {"nodeName": "OWN", "phase": "Running", "migrationState": {"completed": True}}},
    },
    "source": {
        "its identity": state(sourceCertificateAuthority="mine", sourceAddress="10.0.0.1", sourceDisks={"root": 1}),
        "the start": state(startTimestamp="2026-01-01T00:00:00Z", mode="PreCopy"),
        "that it has given the guest up": state(sourceSwitched=True),
        "how far it is": state(progress={"remainingBytes": 1}),
        "the phase": {"status": {"phase": "Failed"}},
    },
}


@pytest.fixture(scope="module")
def moving(handler: Handler) -> Iterator[dict[str, str]]:
    """Machines that move to and from the handler's node. They have ended, so nobody but this test looks at them."""
    names = {"target": "confined-arriving", "source": "confined-leaving"}
    try:
        for side, name in names.items():
            source, target = (
                (handler.other_node, handler.node) if side == "target" else (handler.node, handler.other_node)
            )
            body = manifest(name)
            body["spec"]["nodeSelector"] = {"example.com/no-such-node": ""}
            apply(body)
            wait("vmi", name, "jsonpath={.status.phase}=Scheduling")  # virt-controller has no more to write
            migration = {"migrationUid": "m1", "sourceNode": source, "targetNode": target}
            status = {
                "phase": "Succeeded",
                "nodeName": source,
                "activePods": {"pod-a": source, "pod-b": target},
                "migrationState": {**migration, "sourcePodUID": "pod-a", "targetPodUID": "pod-b"},
            }
            patch = json.dumps({"status": status})
            # Only the suite may write a status. kubectl reads the object first, which virt-controller may not.
            writer = ("--as", user_of(CONTROLLER, NAMESPACE), "--as-group", "system:masters")
            kubectl("patch", "vmi", name, "--type=merge", "-p", patch, *writer)
        yield names
    finally:
        kubectl("delete", "vmi", *names.values(), "--ignore-not-found", "--wait=false")


def written(handler: Handler, name: str, patch: dict[str, Any]) -> str:
    text = json.dumps(patch).replace("OWN", handler.node).replace("OTHER", handler.other_node)
    return handler.patch(VIRTUAL_MACHINE_INSTANCES, name, json.loads(text))


@pytest.mark.parametrize(("side", "what"), [(side, what) for side, cases in SIDES_NOT.items() for what in cases])
def test_a_handler_may_write_only_its_side_of_a_migration(
    handler: Handler, moving: dict[str, str], side: str, what: str
) -> None:
    assert MACHINE_POLICY in written(handler, moving[side], SIDES_NOT[side][what])


@pytest.mark.parametrize(("side", "what"), [(side, what) for side, cases in SIDES.items() for what in cases])
def test_a_handler_may_write_its_side_of_a_migration(
    handler: Handler, moving: dict[str, str], side: str, what: str
) -> None:
    assert written(handler, moving[side], SIDES[side][what]) == ""


@pytest.mark.parametrize("what", NODES_NOT)
def test_a_handler_may_not_change_nodes_beyond_its_marks(handler: Handler, what: str) -> None:
    which, patch = NODES_NOT[what]
    assert NODE_POLICY in handler.patch(NODES, handler.node if which == "own" else handler.other_node, patch)


@pytest.mark.parametrize("what", MACHINES_NOT)
def test_a_handler_may_change_the_status_of_its_own_machines_only(
    handler: Handler, guests: tuple[Guest, Guest], what: str
) -> None:
    name, patch = MACHINES_NOT[what]
    text = json.dumps(patch).replace("OWN", handler.node).replace("OTHER", handler.other_node)
    assert MACHINE_POLICY in handler.patch(VIRTUAL_MACHINE_INSTANCES, name, json.loads(text))


def test_a_handler_cannot_create_or_delete(handler: Handler, guests: tuple[Guest, Guest]) -> None:
    new = manifest("confined-new")
    for request in (
        lambda client: client.create(VIRTUAL_MACHINE_INSTANCES, "default", new, dry_run=True),
        lambda client: client.delete(VIRTUAL_MACHINE_INSTANCES, "default", HERE),
        lambda client: client.delete(NODES, None, handler.node),
    ):
        assert "is forbidden" in handler.attempt(request)


def test_a_handler_may_do_its_work(handler: Handler, guests: tuple[Guest, Guest]) -> None:
    beat = {"annotations": {"kubevirt.io/heartbeat": "2026-01-01T00:00:00Z"}}
    paused = {"type": "Paused", "status": "True", "reason": "PausedByUser"}
    running = {"phase": "Running", "nodeName": handler.node, "machine": {"type": "q35"}}
    vmis = VIRTUAL_MACHINE_INSTANCES
    assert (
        handler.patch(NODES, handler.node, {"metadata": {"labels": {"kubevirt.io/schedulable": "true"}, **beat}}) == ""
    )
    assert handler.patch(vmis, HERE, {"status": {"conditions": [paused]}}) == ""
    assert handler.patch(vmis, HERE, {"status": running}) == ""
    assert handler.patch(vmis, HERE, {"status": {"phase": "Succeeded"}}) == ""


def test_nobody_else_is_confined(handler: Handler, guests: tuple[Guest, Guest]) -> None:
    kubectl("label", "node", handler.other_node, "example.com/x=y", "--dry-run=server")
    kubectl("label", "vmi", ELSEWHERE, "example.com/x=y", "--dry-run=server")


@pytest.mark.parametrize("name", [NODE_POLICY, MACHINE_POLICY])
def test_the_api_server_has_no_doubts_about_the_policies(suite: None, name: str) -> None:
    def checked() -> bool:
        policy = get("validatingadmissionpolicy", name)
        return bool(policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"])

    until(checked, "the policy's type check")
    assert get("validatingadmissionpolicy", name)["status"].get("typeChecking", {}) == {}

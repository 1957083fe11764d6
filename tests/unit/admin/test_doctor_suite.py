"""doctor without a name: what keeps the suite from being available; and how doctor reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from virt_admin.access import Access, connected
from virt_admin.doctor.examine import examine, text
from virt_admin.doctor.finding import exit_code
from virt_admin.doctor.suite import diagnose_suite
from virt_admin.outcome import CannotTell
from virt_core.kube import resource
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer

from .bodies import NODES, ago, components, condition, install, kubevirt, node, observed, pod
from .cases import launcher, migration, unscheduled, vm, vmi, waiting

WELL = components()
UNAVAILABLE = condition("Available", "False", "ComponentsNotReady", "virt-api is down", minutes=9)
REFUSED = condition("Synchronized", "False", "MissingPermissions", "create x", minutes=8)
STEP = {"operation": "Update", "toVersion": "v2", "step": "virt-api", "since": ago(minutes=1)}
STOPPED = {"target": "1f", "version": "v2", "release": "v2", "operation": "Update", "component": "virt-handler"}
STOPPED |= {"object": "node node1", "probe": "machines", "message": "does not see x/y", "at": ago(minutes=1)}
WAIT = {"object": "Deployment kubevirt/virt-api", "reason": "0 of 2 pods are ready", "since": ago(seconds=9)}


def others(component: str) -> list[Any]:
    return [body for body in WELL["pods"] if body["metadata"]["labels"]["kubevirt.io"] != component]


@pytest.mark.parametrize(
    ("changed", "code", "sentences"),
    [
        ({}, 0, []),
        ({"suite": kubevirt(conditions=[UNAVAILABLE])}, 2, ["not available: ComponentsNotReady: virt-api is down"]),
        ({"suite": kubevirt(conditions=[])}, 2, ["has not reported yet whether the suite is available"]),
        (
            {"suite": kubevirt(conditions=[UNAVAILABLE, REFUSED])},
            2,
            ["MissingPermissions: create x", ago(minutes=8), "apply kubevirt-operator.yaml of the requested release"],
        ),
        (
            {"suite": kubevirt(upgrade={**STEP, "waitingFor": [WAIT]})},
            1,
            ["wait: Update to v2, step virt-api: 0 of 2 pods", f"Deployment kubevirt/virt-api, since {ago(seconds=9)}"],
        ),
        ({"suite": kubevirt(upgrade={"operation": "", "step": "", "since": "", "level": 2})}, 0, []),
        ({"suite": kubevirt(upgrade=STEP)}, 1, ["wait: Update to v2, step virt-api is in progress"]),
        (
            {"suite": kubevirt(upgrade={**STEP, "operation": "Stopped", "stopped": STOPPED})},
            2,
            ["the update to v2 has stopped at virt-handler: node node1 failed the probe machines: does not see x/y"],
        ),
        ({"pods": others("virt-operator")}, 2, ["no pod of virt-operator is ready: nothing of the suite is repaired"]),
        (
            {"pods": [*others("virt-api"), pod("virt-api", "virt-api-0", ready=False, **waiting("CrashLoopBackOff"))]},
            2,
            ["a pod of virt-api is not ready: container compute", "kubectl -n kubevirt logs virt-api-0"],
        ),
        ({"workloads": WELL["workloads"][:-2]}, 2, ["virt-controller does not exist", "virt-handler does not exist"]),
        ({"pods": others("virt-handler")}, 2, ["node node1 has no virt-handler", "node node2 has no virt-handler"]),
        ({"nodes": [node("node1"), node("node2", condition("Ready", "False", "", "disk"))]}, 2, ["not ready: disk"]),
        ({"nodes": [node(name, kvm=0) for name in NODES]}, 2, ["no node offers KVM, so no guest starts"]),
        ({"nodes": [node(name, labels={}) for name in NODES]}, 2, ["no node takes guests"]),
    ],
)
def test_a_seeded_state_of_the_suite_is_explained(changed: dict[str, Any], code: int, sentences: list[str]) -> None:
    findings = diagnose_suite(observed(**changed))
    shown = "\n".join(text(findings))
    assert all(sentence in shown for sentence in sentences), shown
    assert exit_code(findings) == code, shown


def test_a_handler_without_a_heartbeat_is_named() -> None:
    silent = node("node1")
    silent["metadata"]["annotations"] = {"kubevirt.io/heartbeat": ago(minutes=6)}
    (found,) = diagnose_suite(observed(nodes=[silent]))
    assert found.what == "virt-handler on node node1 has sent no heartbeat for five minutes, by this machine's clock"
    assert (found.object, found.since) == ("Pod kubevirt/virt-handler-node1", ago(minutes=6))


@pytest.fixture
async def access(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Access]:
    async with connected(str(server.write_kubeconfig(tmp_path / "config")), None, None) as access:
        yield access


def put_machine(server: FakeApiServer) -> None:
    """A VM whose launcher pod no node takes, while a migration of it is there."""
    server.put(resource.VIRTUAL_MACHINES.path("vms"), vm() | {"metadata": {"name": "a", "uid": "uid-vm"}})
    instance = vmi("Scheduling")
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "disk"}}]
    instance |= {"metadata": {"name": "a", "uid": "uid-a"}, "spec": {"volumes": volumes}}
    server.put(resource.VIRTUAL_MACHINE_INSTANCES.path("vms"), instance)
    own = launcher("", unscheduled(), labels={"kubevirt.io/created-by": "uid-a"})
    own["metadata"]["namespace"] = "vms"
    server.put(resource.PODS.path("vms"), own)
    job = migration("Pending")
    job["metadata"] |= {"namespace": "vms", "labels": {"kubevirt.io/vmi-name": "a"}}
    server.put(resource.VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("vms"), job)
    event = {"regarding": {"uid": "uid-pod"}, "type": "Warning", "reason": "FailedScheduling", "note": "no room"}
    moment = {"eventTime": rfc3339(datetime.now(UTC))}
    server.put(resource.EVENTS.path("vms"), {"metadata": {"name": "e"}, **event, **moment})


async def test_everything_about_a_vm_is_read_and_nothing_written(
    server: FakeApiServer, access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    install(server, datetime.now(UTC))
    put_machine(server)
    assert await examine(access, "vms/a", "text") == 2
    shown = capsys.readouterr().out
    assert "problem: claim disk does not exist" in shown
    assert "problem: no node takes the launcher pod: 0/2 nodes are available" in shown
    assert {method for method, _ in server.requests} == {"LIST"}
    assert await examine(access, "vms/a", "json") == 2
    assert {finding["kind"] for finding in json.loads(capsys.readouterr().out)} >= {"problem"}


async def test_the_suite_is_examined_without_a_name(
    server: FakeApiServer, access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await examine(access, None, "text") == 2
    assert "no KubeVirt object exists" in capsys.readouterr().out
    install(server, datetime.now(UTC))
    assert await examine(access, None, "text") == 0
    assert capsys.readouterr().out == "nothing is wrong, and nothing is waited for\n"


@pytest.mark.parametrize(
    ("name", "message", "status"),
    [
        ("c", "no VirtualMachine or VirtualMachineInstance c in namespace default", 3),
        ("a/", "use NAMESPACE/NAME", 64),
        ("a/b/c", "use NAMESPACE/NAME", 64),
    ],
)
async def test_a_name_of_nothing_ends_the_command(
    server: FakeApiServer, access: Access, name: str, message: str, status: int
) -> None:
    install(server, datetime.now(UTC))
    with pytest.raises(CannotTell, match=message) as ended:
        await examine(access, name, "text")
    assert ended.value.status == status

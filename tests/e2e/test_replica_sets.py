"""VirtualMachineInstanceReplicaSets on a real cluster: scaled, paused, replaced, orphaned and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.cluster import apply, condition_of, get, kubectl, process, until, wait
from tests.e2e.guests import Guest, await_events
from tests.e2e.replica_sets import existing, has, instances, replica_set, status
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel


def by_patch(name: str, replicas: int) -> None:
    """As a GitOps tool."""
    kubectl("patch", "vmirs", name, "--type=merge", "-p", json.dumps({"spec": {"replicas": replicas}}))


def by_scale(name: str, replicas: int) -> None:
    """By the scale subresource."""
    kubectl("scale", f"vmirs/{name}", f"--replicas={replicas}")


def by_autoscaler(name: str, replicas: int) -> None:
    """By one whose bounds leave no choice: it needs no metrics."""
    target = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceReplicaSet", "name": name}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    spec = {"scaleTargetRef": target, "minReplicas": replicas, "maxReplicas": replicas, "metrics": [cpu]}
    apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


@pytest.mark.parametrize("scale", [by_patch, by_scale, by_autoscaler])
def test_it_is_scaled_up_and_down(scale: Callable[[str, int], None]) -> None:
    with existing(replica_set(f"scaled-{scale.__name__.replace('_', '-')}", 2)) as name:
        has(name, 2)
        try:
            for replicas in (5, 1):
                scale(name, replicas)
                has(name, replicas)
        finally:
            kubectl("delete", "hpa", name, "--ignore-not-found")
        assert status(name)["labelSelector"] == f"app={name}"


def test_its_guests_run_are_listed_and_go_with_it() -> None:
    with existing(replica_set("whole-set", 2, runs=True)) as name:
        has(name, 2, ready=2)
        header, row = kubectl("get", "vmirs", name).splitlines()
        assert header.split() == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
        assert row.split()[:4] == [name, "2", "2", "2"]
        await_events(uid_of(name), lambda reasons: reasons == ["SuccessfulCreate"] * 2)
        kubectl("delete", "vmirs", name, "--wait", "--timeout=180s")
        until(lambda: not get("vmi", "-l", f"app={name}")["items"], "its guests to go")


def test_a_guest_that_has_ended_or_is_deleted_is_replaced() -> None:
    with existing(replica_set("replaced", 1, runs=True)) as name:
        has(name, 1, ready=1)
        (first,) = instances(name).values()
        qemu = process(Guest(first["metadata"]["name"]).pod["metadata"]["uid"], r"^\S*qemu-system")
        assert qemu is not None
        qemu.kill()
        second = another(name, first)
        kubectl("delete", "vmi", second["metadata"]["name"], "--wait=false")
        another(name, second)


def another(name: str, than: dict[str, Any], seconds: float = 2 * PATIENCE) -> dict[str, Any]:
    """Wait until the only guest of the set is ready and is not this one. The set's status may still count that one."""

    def is_another() -> bool:
        found = instances(name)
        ready = [body for body in found.values() if condition_of(body, "Ready").get("status") == "True"]
        return than["metadata"]["uid"] not in found and len(found) == len(ready) == 1

    until(is_another, "another guest that is ready", seconds)
    (found,) = instances(name).values()
    return dict(found)


def test_the_replacement_of_an_evicted_guest_does_not_wait_for_its_slow_shutdown() -> None:
    body = replica_set("evicted", 1, runs=True)
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 600
    body["spec"]["template"]["spec"]["domain"]["features"] = {"acpi": {"enabled": False}}
    with existing(body) as name:
        has(name, 1, ready=1)
        (first,) = instances(name).values()
        pod = Guest(first["metadata"]["name"]).pod["metadata"]
        kubectl("delete", "pod", pod["name"], "--wait=false")
        second = another(name, first)
        assert get("vmi", first["metadata"]["name"])["metadata"]["uid"] == first["metadata"]["uid"]
        by_scale(name, 0)
        for uid in (pod["uid"], Guest(second["metadata"]["name"]).pod["metadata"]["uid"]):
            qemu = process(uid, r"^\S*qemu-system")
            assert qemu is not None, "both would go on for ten minutes"
            qemu.kill()


def test_a_paused_one_is_not_scaled_until_it_is_resumed() -> None:
    body = replica_set("paused-set", 1)
    body["spec"]["paused"] = True
    with existing(body) as name:
        wait("vmirs", name, "condition=ReplicaPaused")
        by_patch(name, 3)
        assert [condition["reason"] for condition in status(name)["conditions"]] == ["Paused"]
        assert instances(name) == {}
        kubectl("patch", "vmirs", name, "--type=merge", "-p", '{"spec":{"paused":false}}')
        has(name, 3)
        until(lambda: not condition_of(get("vmirs", name), "ReplicaPaused"), "the condition to go")
        expected = {"SuccessfulPaused", "SuccessfulResumed", "SuccessfulCreate"}
        await_events(uid_of(name), lambda reasons: set(reasons) == expected)


def test_orphaned_guests_stay_and_the_next_set_adopts_them() -> None:
    body = replica_set("orphans", 2)
    with existing(body) as name:
        has(name, 2)
        before = instances(name)
        kubectl("delete", "vmirs", name, "--cascade=orphan", "--wait", "--timeout=180s")
        until(lambda: not owners(name), "the garbage collector to orphan them")
        assert instances(name).keys() == before.keys()
        apply(body)
        has(name, 2)
        until(lambda: len(owners(name)) == 2, "the new set to adopt them")
        assert instances(name).keys() == before.keys()


def uid_of(name: str) -> str:
    return str(get("vmirs", name)["metadata"]["uid"])


def owners(name: str) -> list[str]:
    """UIDs of the owners of the guests with the set's label."""
    return [owner["uid"] for body in instances(name).values() for owner in body["metadata"].get("ownerReferences", [])]


def test_a_guest_that_loses_its_label_is_released_and_replaced() -> None:
    with existing(replica_set("released", 1)) as name:
        has(name, 1)
        (released,) = (body["metadata"]["name"] for body in instances(name).values())
        try:
            kubectl("label", "vmi", released, "app=debugged", "--overwrite")
            until(lambda: "ownerReferences" not in get("vmi", released)["metadata"], "its release")
            has(name, 1)
        finally:
            kubectl("delete", "vmi", released, "--wait", "--timeout=180s")


def test_a_second_apply_changes_nothing() -> None:
    body = replica_set("applied", 0)
    del body["spec"]["replicas"]
    with existing(body) as name:
        has(name, 1)
        before = get("vmirs", name)["metadata"]["generation"]
        by_scale(name, 2)
        apply(body)
        has(name, 2)
        assert get("vmirs", name)["metadata"]["generation"] == before + 1
        until(lambda: is_as_applied(body), "no difference")


def is_as_applied(body: dict[str, Any]) -> bool:
    """Whether `kubectl diff` shows nothing. It reads twice, and shows a status that was written in between."""
    try:
        return kubectl("diff", "-f", "-", stdin=json.dumps(body)) == ""
    except AssertionError:
        return False


def refusal(body: dict[str, Any]) -> Any:
    """The causes by which the API server refuses a new object."""
    path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancereplicasets?fieldValidation=Ignore"
    with pytest.raises(AssertionError) as error:
        kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    return str(error.value)


def test_what_is_not_supported_or_wrong_is_refused_by_field() -> None:
    template = replica_set("refused-set", 1)["spec"]["template"]
    disk = {"name": "nowhere", "disk": {"bus": "virtio"}}
    devices = {**template["spec"]["domain"]["devices"], "disks": [disk]}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "another"}}}, "spec.selector: selector does not match labels"),
        ({"selector": {}}, "spec.selector"),
        (
            {"template": {**template, "spec": {**template["spec"], "domain": {"devices": devices}}}},
            "spec.template.spec.domain.devices.disks[0].name",
        ),
        (
            {"template": {**template, "spec": {**template["spec"], "utilityVolumes": [{"name": "x"}]}}},
            "spec.template.spec.utilityVolumes",
        ),
    ]
    for change, field in changes:
        body = replica_set("refused-set", 1)
        body["spec"] |= change
        assert field in refusal(body)


def test_dry_runs_change_nothing() -> None:
    body = replica_set("dry-run-set", 1)
    kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    assert kubectl("get", "vmirs", "dry-run-set", "--ignore-not-found") == ""
    with existing(body) as name:
        has(name, 1)
        before = get("vmirs", name)
        kubectl("delete", "vmirs", name, "--dry-run=server")
        kubectl("patch", "vmirs", name, "--type=merge", "--dry-run=server", "-p", '{"spec":{"replicas":2}}')
        kubectl("scale", f"vmirs/{name}", "--replicas=2", "--dry-run=server")
        changed = {**before, "spec": {**before["spec"], "paused": True}}
        kubectl("replace", "--dry-run=server", "-f", "-", stdin=json.dumps(changed))
        assert get("vmirs", name) == before


def test_an_unknown_field_is_refused_by_kubectl() -> None:
    body = replica_set("unknown-field", 1)
    body["spec"]["reallyWrong"] = True
    with pytest.raises(AssertionError, match=r'unknown field "spec.reallyWrong"'):
        kubectl("create", "-f", "-", stdin=json.dumps(body))

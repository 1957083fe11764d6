"""VirtualMachines with instance types and preferences on a real cluster, and the bundle that comes with the suite."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import NAMESPACE, apply, condition_of, get, kubectl, process, until, wait
from tests.e2e.guests import Guest
from tests.e2e.virtual_machines import another_guest_runs, existing, has, request, status, vm_manifest

GROUP = "instancetype.kubevirt.io"
BUNDLE = f"{GROUP}/vendor=kubevirt.io"


def instancetype(name: str, cpus: int, memory: str = "128Mi") -> dict[str, Any]:
    """An instance type of the namespace."""
    return _object("VirtualMachineInstancetype", name, {"cpu": {"guest": cpus}, "memory": {"guest": memory}})


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def typed(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """A VirtualMachine without a size of its own; `kind` is the instance type of its namespace."""
    body = vm_manifest(name)
    del body["spec"]["template"]["spec"]["domain"]["memory"]
    body["spec"]["instancetype"] = {"kind": "VirtualMachineInstancetype", "name": kind}
    body["spec"] |= more
    return body


@contextmanager
def offered(*bodies: dict[str, Any]) -> Iterator[None]:
    """Instance types and preferences that exist meanwhile."""
    apply(*bodies)
    try:
        yield
    finally:
        for body in bodies:
            kubectl("delete", f"{body['kind']}.{GROUP}", body["metadata"]["name"], "--ignore-not-found")


def cpus(name: str) -> int:
    return int(Guest(name).vmi["spec"]["domain"]["cpu"]["sockets"])


@pytest.mark.parallel
def test_a_machine_of_the_bundle_starts_with_its_cpus_memory_and_preference() -> None:
    body = typed("bundled", "")
    body["spec"] |= {"instancetype": {"name": "u1.nano"}, "preference": {"name": "linux"}}
    with existing(body) as name:
        has(name, "Running")
        vmi = Guest(name).vmi
        assert vmi["spec"]["domain"]["memory"]["guest"] == "512Mi" and cpus(name) == 1
        assert vmi["spec"]["domain"]["devices"]["rng"] == {}
        annotations = vmi["metadata"]["annotations"]
        assert annotations["kubevirt.io/cluster-instancetype-name"] == "u1.nano"
        assert annotations["kubevirt.io/cluster-preference-name"] == "linux"
        assert annotations["vm.kubevirt.io/os"] == "linux"
        generation = get("vm", name)["metadata"]["generation"]
        for role in ("instancetype", "preference"):
            kept = get("controllerrevision", status(name)[f"{role}Ref"]["controllerRevisionRef"]["name"])
            assert kept["data"]["metadata"]["name"] in ("u1.nano", "linux")
            assert kept["metadata"]["ownerReferences"][0]["uid"] == get("vm", name)["metadata"]["uid"]
        apply(body)
        assert get("vm", name)["metadata"]["generation"] == generation
        kubectl("patch", "vm", name, "--type=merge", "-p", json.dumps({"spec": {"runStrategy": "Halted"}}))
        has(name, "Stopped")


def test_an_edit_reaches_the_second_machine_only_and_nothing_depends_on_a_living_controller() -> None:
    with offered(instancetype("edited", 1)), existing(typed("first", "edited")) as first:
        has(first, "Running")
        apply(instancetype("edited", 2))
        with existing(typed("second", "edited")) as second:
            has(second, "Running")
            assert (cpus(first), cpus(second)) == (1, 2)
            uid = Guest(first).vmi["metadata"]["uid"]
            kill_controllers()
            request(first, "restart")
            another_guest_runs(first, uid)
            assert cpus(first) == 1
            assert not condition_of(get("vm", first), "RestartRequired")


def kill_controllers() -> None:
    """kill -9 of both replicas."""
    for pod in get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-controller")["items"]:
        victim = process(pod["metadata"]["uid"], "virt_controller")
        assert victim is not None
        victim.kill()


@pytest.mark.parallel
@pytest.mark.parametrize("role", ["instancetype", "preference"])
def test_a_machine_whose_object_is_missing_starts_when_it_is_made(role: str) -> None:
    body, late = typed("early", "late"), instancetype("late", 1)
    if role == "preference":
        body = vm_manifest("early")
        body["spec"]["preference"] = {"kind": "VirtualMachinePreference", "name": "late"}
        late = _object("VirtualMachinePreference", "late", {"devices": {"preferredInterfaceModel": "e1000"}})
    with existing(body) as name:
        until(lambda: bool(condition_of(get("vm", name), "Failure")), "the condition Failure")
        assert condition_of(get("vm", name), "Failure")["reason"] == f"FailedFind{role.capitalize()}"
        has(name, "Stopped")
        began = time.monotonic()
        with offered(late):
            until(lambda: kubectl("get", "vmi", name, "--ignore-not-found") != "", "its guest")
            print(f"the guest was made {time.monotonic() - began:.1f} s after its {role}")
            has(name, "Running")
            until(lambda: not condition_of(get("vm", name), "Failure"), "the condition Failure to go")


@pytest.mark.parallel
def test_a_machine_with_a_size_of_its_own_beside_an_instance_type_is_refused() -> None:
    body = vm_manifest("conflicting", "Halted")
    body["spec"]["instancetype"] = {"name": "u1.nano"}
    with pytest.raises(AssertionError, match=r"spec\.template\.spec\.domain\.memory\.guest"):
        kubectl("create", "-f", "-", stdin=json.dumps(body))


@pytest.mark.parallel
def test_an_instance_type_without_memory_is_refused_by_the_api_server() -> None:
    body = instancetype("half", 1)
    del body["spec"]["memory"]["guest"]
    with pytest.raises(AssertionError, match=r"spec\.memory\.guest: Required value"):
        kubectl("create", "-f", "-", stdin=json.dumps(body))


def test_the_bundle_is_repaired_left_out_and_brought_back() -> None:
    assert bundle() == {"vmcf": 29, "vmcp": 40}
    kubectl("delete", "vmcf", "u1.nano", "m1.large")
    kubectl("patch", "vmcp", "linux", "--type=merge", "-p", json.dumps({"spec": {"preferredSubdomain": "mine"}}))
    until(lambda: bundle()["vmcf"] == 29 and "preferredSubdomain" not in get("vmcp", "linux")["spec"], "the repair")
    try:
        configure({"enabled": False})
        print(f"gone after {until(lambda: bundle() == {'vmcf': 0, 'vmcp': 0}, 'the bundle to go'):.1f} s")
    finally:
        configure(None)
    print(f"back after {until(lambda: bundle() == {'vmcf': 29, 'vmcp': 40}, 'the bundle to be back'):.1f} s")
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)


def bundle() -> dict[str, int]:
    """How many objects there are of each kind."""
    return {kind: len(get(kind, "-l", BUNDLE)["items"]) for kind in ("vmcf", "vmcp")}


def configure(deployment: dict[str, Any] | None) -> None:
    """commonInstancetypesDeployment; None: as by default."""
    patch = {"spec": {"configuration": {"commonInstancetypesDeployment": deployment}}}
    kubectl("patch", "kv", "kubevirt", "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch))

"""Instance types and preferences at the API: what is stored, refused, inferred and expanded. Nothing boots."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import apply, get, kubectl, until
from tests.e2e.virtual_machines import existing, status, vm_manifest

pytestmark = pytest.mark.parallel
API = "instancetype.kubevirt.io/v1beta1"
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1/namespaces/default"
TEMPLATE = "spec.template.spec.domain"
SHAPES: list[dict[str, Any]] = [
    {
        "apiVersion": API,
        "kind": "VirtualMachineInstancetype",
        "metadata": {"name": "expand-small"},
        "spec": {"cpu": {"guest": 2}, "memory": {"guest": "64Mi"}},
    },
    {
        "apiVersion": API,
        "kind": "VirtualMachinePreference",
        "metadata": {"name": "expand-linux"},
        "spec": {
            "cpu": {"preferredCPUTopology": "cores"},
            "devices": {"preferredInterfaceModel": "e1000"},
            "machine": {"preferredMachineType": "pc-q35-7.2"},
            "requirements": {"cpu": {"guest": 2}},
        },
    },
]
BOTH = {
    "instancetype": {"kind": "VirtualMachineInstancetype", "name": "expand-small"},
    "preference": {"kind": "virtualmachinepreferences", "name": "expand-linux"},
}


@pytest.fixture(scope="module", autouse=True)
def shapes() -> Iterator[None]:
    """An instance type and a preference of the namespace."""
    apply(*SHAPES)
    yield
    kubectl("delete", "virtualmachineinstancetype/expand-small", "virtualmachinepreference/expand-linux")


def halted(name: str, domain: dict[str, Any] | None = None, **matchers: Any) -> dict[str, Any]:
    """A VirtualMachine without CPU and memory of its own."""
    body = vm_manifest(name, "Halted")
    own = body["spec"]["template"]["spec"]["domain"]
    body["spec"]["template"]["spec"]["domain"] = {"devices": own.get("devices", {}), **(domain or {})}
    for field in ("cpu", "memory", "resources"):
        if field not in (domain or {}):
            body["spec"]["template"]["spec"]["domain"].pop(field, None)
    body["spec"] |= matchers
    return body


def refusal(body: dict[str, Any]) -> str:
    """Why the API server does not take it."""
    with pytest.raises(AssertionError) as error:
        kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    return str(error.value)


def expanded(body: dict[str, Any]) -> dict[str, Any]:
    """The manifest after expand-vm-spec."""
    answer = kubectl("replace", "--raw", f"{SUBRESOURCES}/expand-vm-spec", "-f", "-", stdin=json.dumps(body))
    found: dict[str, Any] = json.loads(answer)
    return found


def test_a_stored_vm_and_a_manifest_are_expanded_alike_and_the_result_can_be_created() -> None:
    with existing(halted("expand-both", **BOTH)) as name:
        stored = json.loads(kubectl("get", "--raw", f"{SUBRESOURCES}/virtualmachines/{name}/expand-spec"))
        manifest = expanded(get("vm", name))
    assert stored["spec"] == manifest["spec"] and not stored["spec"].keys() & BOTH.keys()
    domain = stored["spec"]["template"]["spec"]["domain"]
    assert (domain["cpu"]["cores"], domain["memory"]["guest"]) == (2, "64Mi")
    assert domain["machine"]["type"] == "pc-q35-7.2"
    assert domain["devices"]["interfaces"][0]["model"] == "e1000"
    copied = {**stored, "metadata": {"name": "expand-copy"}}
    copied.pop("status", None)
    kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(copied))


def test_a_vm_without_matchers_is_answered_as_it_is() -> None:
    body = vm_manifest("expand-none", "Halted")
    assert expanded(body) == body
    with existing(body) as name:
        stored = json.loads(kubectl("get", "--raw", f"{SUBRESOURCES}/virtualmachines/{name}/expand-spec"))
        assert stored["spec"] == get("vm", name)["spec"]


@pytest.mark.parametrize(
    ("field", "kind", "plural"),
    [
        ("instancetype", "", "virtualmachineclusterinstancetypes"),
        ("instancetype", "VirtualMachineInstancetype", "virtualmachineinstancetypes"),
        ("preference", "", "virtualmachineclusterpreferences"),
        ("preference", "VirtualMachinePreference", "virtualmachinepreferences"),
    ],
)
def test_what_does_not_exist_is_stored_and_named_when_expanded(field: str, kind: str, plural: str) -> None:
    memory = {"memory": {"guest": "64Mi"}} if field == "preference" else None
    body = halted("expand-missing", memory, **{field: {"name": "none", "kind": kind}})
    message = f'{plural}.instancetype.kubevirt.io "none" not found'
    with pytest.raises(AssertionError, match=message):
        expanded(body)
    with existing(body) as name, pytest.raises(AssertionError, match=message):
        kubectl("get", "--raw", f"{SUBRESOURCES}/virtualmachines/{name}/expand-spec")


def test_a_manifest_of_another_namespace_is_refused() -> None:
    body = halted("expand-elsewhere", **BOTH)
    with pytest.raises(AssertionError, match="VM namespace must be empty or default"):
        expanded({**body, "metadata": {"name": "expand-elsewhere", "namespace": "kube-system"}})


def test_conflicts_are_named_by_field() -> None:
    body = halted("expand-conflict", {"cpu": {"cores": 2}, "memory": {"guest": "64Mi"}}, **BOTH)
    for field in (f"{TEMPLATE}.cpu.cores", f"{TEMPLATE}.memory.guest"):
        message = f"VM field(s) {field} conflicts with selected instance type"
        assert message in refusal(body)
        with pytest.raises(AssertionError) as error:
            expanded(body)
        assert message in str(error.value)


def test_requirements_hold_when_a_vm_is_made_and_when_it_is_changed() -> None:
    enough = {"cpu": {"cores": 2}, "memory": {"guest": "64Mi"}}
    alone = {"preference": BOTH["preference"]}
    less = {**enough, "cpu": {"cores": 1}}
    words = "insufficient CPU resources of 1 vCPU provided by VirtualMachine, preference requires 2 vCPU"
    assert words in refusal(halted("expand-requires", less, **alone))
    with existing(halted("expand-requires", enough, **alone)) as name:
        patch = json.dumps({"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 1}}}}}})
        with pytest.raises(AssertionError, match=words):
            kubectl("patch", "vm", name, "--type=merge", "-p", patch)


@pytest.mark.parametrize(
    ("shape", "path", "value", "field"),
    [
        (0, ("cpu", "numa"), {"guestMappingPassthrough": {}}, "spec.cpu.numa"),
        (0, ("cpu", "guest"), None, "spec.cpu.guest"),
        (0, ("memory", "overcommitPercent"), 101, "spec.memory.overcommitPercent"),
        (1, ("features",), {"preferredHyperv": {"relaxed": {}}}, "spec.features.preferredHyperv"),
        (1, ("cpu", "preferredCPUTopology"), "round", "spec.cpu.preferredCPUTopology"),
    ],
)
def test_a_shape_that_no_guest_can_have_is_refused_by_field(
    shape: int, path: tuple[str, ...], value: Any, field: str
) -> None:
    body = copy.deepcopy(SHAPES[shape])
    *above, last = ("spec", *path)
    target = body
    for key in above:
        target = target.setdefault(key, {})
    if value is None:
        del target[last]
    else:
        target[last] = value
    body["metadata"]["name"] = "expand-refused"
    assert field in refusal(body)


def test_revisions_that_an_older_release_made_are_replaced() -> None:
    with existing(halted("expand-older", **BOTH)) as name:
        until(lambda: {"instancetypeRef", "preferenceRef"} <= status(name).keys(), "its revisions")
        older = {}
        for role in BOTH:
            found = get("controllerrevision", revision_of(name, role))
            kubectl("delete", "controllerrevision", found["metadata"]["name"])
            older[role] = f"{name}-{role}-older"
            owners = found["metadata"]["ownerReferences"]
            found["metadata"] = {"name": older[role], "ownerReferences": owners}
            found["data"]["apiVersion"] = "instancetype.kubevirt.io/v1alpha2"
            kubectl("create", "-f", "-", stdin=json.dumps(found))
        refs = {f"{role}Ref": {"controllerRevisionRef": {"name": made}} for role, made in older.items()}
        kubectl("patch", "vm", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": refs}))
        for role, made in older.items():
            until(lambda r=role, m=made: revision_of(name, r) != m, f"another revision of its {role}")
            replaced = get("controllerrevision", revision_of(name, role))
            assert replaced["metadata"]["labels"]["instancetype.kubevirt.io/object-version"] == "v1beta1"
            assert replaced["data"]["apiVersion"] == API
            gone = ("get", "controllerrevision", made, "--ignore-not-found")
            until(lambda g=gone: kubectl(*g) == "", "the older one to go")


def revision_of(name: str, role: str) -> str:
    """The ControllerRevision that a VirtualMachine's status names."""
    return str(status(name)[f"{role}Ref"]["controllerRevisionRef"]["name"])


def test_both_are_inferred_of_a_claims_labels_once_and_a_second_apply_changes_nothing() -> None:
    labels = {
        "instancetype.kubevirt.io/default-instancetype": "expand-small",
        "instancetype.kubevirt.io/default-instancetype-kind": "VirtualMachineInstancetype",
        "instancetype.kubevirt.io/default-preference": "expand-linux",
        "instancetype.kubevirt.io/default-preference-kind": "VirtualMachinePreference",
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "expand-claim", "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "64Mi"}},
            "storageClassName": "",
        },
    }
    policy = {"inferFromVolume": "data", "inferFromVolumeFailurePolicy": "Ignore"}
    body = halted("expand-inferred", {"memory": {"guest": "32Mi"}}, instancetype=policy, preference=policy)
    spec = body["spec"]["template"]["spec"]
    spec["volumes"] = [
        *spec.get("volumes", []),
        {"name": "data", "persistentVolumeClaim": {"claimName": "expand-claim"}},
    ]
    apply(claim)
    try:
        with existing(body) as name:
            stored = get("vm", name)
            assert stored["spec"]["instancetype"] == BOTH["instancetype"]
            assert stored["spec"]["preference"]["name"] == "expand-linux"
            assert "memory" not in stored["spec"]["template"]["spec"]["domain"]
            apply(body)
            assert get("vm", name)["metadata"]["generation"] == stored["metadata"]["generation"]
    finally:
        kubectl("delete", "pvc", "expand-claim", "--wait=false")

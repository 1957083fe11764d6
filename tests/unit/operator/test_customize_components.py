"""spec.customizeComponents: patches and flags, refusals, and their removal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.testing.patches import json_patch
from virt_operator.change.plan import plan
from virt_operator.customization.customize import customized
from virt_operator.customization.patches import patches_of
from virt_operator.strategy import marks
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.suite.actions import Apply, DeletePod, Replace
from virt_operator.suite.drift import replacement
from virt_operator.suite.observed import Observed
from virt_operator.suite.plan import Plan
from virt_operator.suite.spec import RefusedSpec

from tests.unit.operator.suites import (
    CONTROLLER,
    HANDLER,
    INSTALL,
    OPERATOR,
    changed,
    deployed,
    handler_hash,
    installed,
    live,
    pod,
    ready_status,
    suite,
    without,
)

SERVICE = Ref("Service", "kubevirt", "virt-api")
NOTE = {"metadata": {"annotations": {"example.com/note": "ours"}, "labels": {"team": "storage"}}}
CPU = {
    "spec": {
        "template": {"spec": {"containers": [{"name": "virt-controller", "resources": {"requests": {"cpu": "1"}}}]}}
    }
}


def patch(kind: str, name: str, content: Any, type_: str = "strategic") -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return {"resourceType": kind, "resourceName": name, "patch": text, "type": type_}


def asking(*patches: dict[str, Any], **flags: dict[str, str]) -> dict[str, Any]:
    return {"customizeComponents": {"patches": list(patches), "flags": flags}}


def objects(spec: dict[str, Any]) -> dict[Ref, Body]:
    return {ref_of(body): body for body in customized(desired_objects(INSTALL), patches_of(spec))}


def with_spec(observed: Observed, spec: dict[str, Any]) -> Observed:
    return replace(observed, suite=suite(spec, deployed()))


def carried_out(observed: Observed, decided: Plan) -> Observed:
    """What the cluster looks like after the plan's writes."""
    for action in decided.actions:
        if isinstance(action, Replace):
            there = observed.owned[action.ref]
            before = {**there.content(), "metadata": {**there.content()["metadata"], "uid": there.metadata.uid}}
            before["metadata"] |= {"name": action.ref.name, "resourceVersion": there.metadata.resource_version}
            after = json_patch(before, replacement(action.body, there))
            observed = changed(observed, action.ref, live(after, ready_status(action.body)))
    return observed


def container(body: Body) -> dict[str, Any]:
    found: dict[str, Any] = body["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("strategic", CPU),
        (
            "json",
            [{"op": "replace", "path": "/spec/template/spec/containers/0/resources/requests/cpu", "value": "1"}],
        ),
        ("merge", {"spec": {"template": {"spec": {"priorityClassName": "other"}}}}),
    ],
)
def test_a_patch_of_each_type_changes_its_object_and_no_other(type_: str, content: Any) -> None:
    plain = objects({})
    found = objects(asking(patch("Deployment", "virt-controller", content, type_)))
    assert {ref for ref in found if found[ref] != plain[ref]} == {CONTROLLER}
    pod_spec = found[CONTROLLER]["spec"]["template"]["spec"]
    if type_ == "merge":
        assert pod_spec["priorityClassName"] == "other"
    else:
        assert pod_spec["containers"][0]["resources"]["requests"]["cpu"] == "1"
        assert pod_spec["containers"][0]["env"] == container(plain[CONTROLLER])["env"]


def test_patches_are_applied_in_their_order_and_names_match_as_in_kubevirt() -> None:
    first, second = ({"spec": {"replicas": number}} for number in (3, 5))
    found = objects(asking(patch("deployment", "*", first), patch("*", "VIRT-API", second)))
    assert [found[ref]["spec"].get("replicas") for ref in (Ref("Deployment", "kubevirt", "virt-api"), CONTROLLER)] == [
        5,
        3,
    ]
    assert found[SERVICE]["spec"]["replicas"] == 5


def test_flags_become_arguments_of_the_components_container() -> None:
    found = objects(asking(handler={"v": "5"}, controller={"V": "4"}, api={}))
    assert container(found[HANDLER])["args"] == ["--v", "5"]
    assert container(found[CONTROLLER])["args"] == ["--v", "4"]
    assert "args" not in container(found[Ref("Deployment", "kubevirt", "virt-api")])


def test_an_object_records_its_customization_patches() -> None:
    found = objects(asking(patch("Deployment", "virt-controller", NOTE)))[CONTROLLER]["metadata"]["annotations"]
    assert found[marks.ADDED] == "annotations:example.com/note labels:team"
    same = objects(asking(patch("deployment", "virt-controller", json.dumps(NOTE, indent=4))))[CONTROLLER]
    assert same["metadata"]["annotations"][marks.IDENTIFIER] == found[marks.IDENTIFIER]


def test_a_changed_template_gets_a_hash_of_its_own_by_which_old_pods_are_found() -> None:
    annotation = {"spec": {"template": {"metadata": {"annotations": {"example.com/note": "ours"}}}}}
    spec = asking(patch("DaemonSet", "virt-handler", annotation))
    template = objects(spec)[HANDLER]["spec"]["template"]
    assert template["metadata"]["annotations"][TEMPLATE_HASH] != handler_hash()
    observed = with_spec(installed(), spec)
    after = carried_out(observed, plan(observed, OPERATOR))
    old = [action for action in plan(after, OPERATOR).actions if isinstance(action, DeletePod)]
    assert [action.name for action in old] == ["virt-handler-0"]
    renewed = replace(after, pods=(pod("virt-handler", template["metadata"]["annotations"][TEMPLATE_HASH]),))
    assert not any(isinstance(action, DeletePod) for action in plan(renewed, OPERATOR).actions)


def test_a_patch_of_metadata_replaces_no_pod() -> None:
    found = objects(asking(patch("DaemonSet", "virt-handler", NOTE)))[HANDLER]
    assert found["spec"] == objects({})[HANDLER]["spec"]


def test_an_installed_suite_is_customized_by_one_write_for_each_object_and_then_left_alone() -> None:
    observed = with_spec(installed(), asking(patch("Deployment", "virt-controller", CPU)))
    decided = plan(observed, OPERATOR)
    (write,) = (action for action in decided.actions if isinstance(action, Replace))
    assert write.ref == CONTROLLER
    assert decided.settings == INSTALL  # no other release: the same strategy
    after = plan(carried_out(observed, decided), OPERATOR)
    assert not any(isinstance(action, Replace | Apply) for action in after.actions)


def test_what_a_customization_added_goes_with_it_and_what_others_added_stays() -> None:
    observed = with_spec(installed(), asking(patch("Service", "virt-api", NOTE)))
    observed = carried_out(observed, plan(observed, OPERATOR))
    there = observed.owned[SERVICE]
    assert there.metadata.labels["team"] == "storage"
    body = {**there.content(), "metadata": {**there.content()["metadata"], "name": "virt-api"}}
    body["metadata"]["labels"]["other"] = "stays"
    observed = with_spec(changed(observed, SERVICE, live(body, {})), {})
    (write,) = (action for action in plan(observed, OPERATOR).actions if isinstance(action, Replace))
    after = carried_out(observed, plan(observed, OPERATOR)).owned[SERVICE].metadata
    assert write.why.startswith(".metadata.")
    assert "team" not in after.labels and after.labels["other"] == "stays"
    assert not {"example.com/note", marks.ADDED, marks.IDENTIFIER} & set(after.annotations)


@pytest.mark.parametrize(
    ("customization", "words"),
    [
        (patch("Deployment", "virt-api", "{"), ["patches[0].patch", "is not JSON"]),
        (patch("Deployment", "virt-api", "[]"), ["patches[0].patch", "'strategic' is an object"]),
        (patch("Deployment", "virt-api", "{}", "json"), ["patches[0].patch", "'json' is a list of operations"]),
        (patch("Deployment", "virt-api", "{}", "apply"), ["patches[0].type", "'apply'", "json, merge, strategic"]),
        (patch("Deployment", "virt-exportproxy", "{}"), ["patches[0]", "'Deployment virt-exportproxy'", "virt-api"]),
        (patch("ClusterRole", "*", "{}"), ["patches[0]", "'ClusterRole *'", "DaemonSet virt-handler"]),
        (
            patch("Deployment", "virt-api", [{"op": "replace", "path": "/spec/absent/field", "value": 1}], "json"),
            ["patches[0]", "Deployment virt-api", "absent"],
        ),
        (
            patch("Deployment", "virt-api", [{"op": "test", "path": "/spec/replicas", "value": 9}], "json"),
            ["patches[0]", "Deployment virt-api"],
        ),
        (patch("Deployment", "virt-api", [1], "json"), ["patches[0]", "Deployment virt-api"]),
        (patch("Deployment", "virt-api", {"spec": None}, "merge"), ["patches[0]", "the result is not a Deployment"]),
        (patch("Deployment", "virt-api", {"metadata": {"name": "x"}}), [".metadata.name cannot be changed"]),
        (
            patch("Service", "virt-api", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
            [".metadata.labels.app.kubernetes.io/managed-by cannot be changed"],
        ),
        (
            patch("Deployment", "virt-api", {"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            [".spec.selector cannot be changed"],
        ),
        (
            patch("MutatingWebhookConfiguration", "virt-api-mutator", {"webhooks": None}, "merge"),
            ["the result is not a MutatingWebhookConfiguration"],
        ),
    ],
    ids=str,
)
def test_a_patch_that_cannot_be_done_is_refused_by_field_and_object(customization: Any, words: list[str]) -> None:
    refused = plan(with_spec(installed(), asking(customization)), OPERATOR).refused
    assert refused is not None and refused.reason == "InvalidField"
    assert "spec.customizeComponents.patches[0]" in str(refused)
    assert all(word in str(refused) for word in words), str(refused)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"api": {"port": "8443"}}, ["spec.customizeComponents.flags.api", "'port'", "v"]),
        ({"api": {"v": "loud"}}, ["spec.customizeComponents.flags.api.v", "'loud'", "0, 1, 2"]),
        ({"launcher": {"v": "1"}}, ["spec.customizeComponents.flags.launcher", "api, controller, handler"]),
    ],
)
def test_a_flag_that_a_component_does_not_have_is_refused(flags: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RefusedSpec) as refused:
        patches_of(asking(**flags))
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_while_a_patch_is_refused_customized_objects_are_left_alone_and_others_repaired() -> None:
    observed = with_spec(installed(), asking(patch("Deployment", "virt-controller", CPU)))
    observed = carried_out(observed, plan(observed, OPERATOR))
    bad = with_spec(without(observed, SERVICE), asking(patch("Deployment", "virt-controller", "{")))
    decided = plan(bad, OPERATOR)
    assert decided.refused is not None
    writes = [action.ref for action in decided.actions if isinstance(action, Apply | Replace)]
    assert writes == [SERVICE]

"""The operator's plan during a change of release: who drives, what grows, what is refused."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_operator.change.growth import grown
from virt_operator.change.plan import plan
from virt_operator.change.versions import is_older
from virt_operator.reconcile.status import status_of
from virt_operator.settings import Settings
from virt_operator.strategy.desired import STRATEGY_RELEASE
from virt_operator.strategy.install_strategy import BadStrategy, from_config_map, name_of, strategy_of, to_config_map
from virt_operator.strategy.ref import WORKLOADS, Body, Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Apply, ApplyOwn, Compare, Delete, Replace
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import (
    CONTROLLER,
    HELD,
    INSTALL,
    NOW,
    OPERATOR,
    changed,
    deployed,
    desired_objects,
    expecting,
    handler_hash,
    installed,
    kinds,
    live,
    own_deployment,
    pod,
    ready_status,
    settled_definitions,
    strategies,
    suite,
    without,
)

NEWER = msgspec.structs.replace(INSTALL, tag="v1.3.0")
OLDER = msgspec.structs.replace(INSTALL, tag="v1.2.0")
CRD = Ref("CustomResourceDefinition", "", "virtualmachineinstances.kubevirt.io")


def status(observed: Observed) -> KubeVirtStatus:
    assert observed.suite is not None
    return status_of(observed.suite, observed, plan(observed, OPERATOR), OPERATOR, None)


def steady(spec: dict[str, Any], **more: Any) -> Observed:
    return replace(installed(), suite=suite(spec, deployed()), **more)


@pytest.mark.parametrize(
    ("release", "other", "older"),
    [
        ("v1.2.3", "v1.2.4", True),
        ("1.2.3", "v1.2.3", False),
        ("v1.10.0", "v1.9.0", False),
        ("v1.2.3-rc.2", "v1.2.3", True),
        ("v1.2.3-beta.1", "v1.2.3-rc.0", True),
        ("v1.2.3-3f2a9c", "v1.2.3-a0b1c2", False),
        ("latest", "v1.0.0", False),
    ],
)
def test_only_what_is_surely_older_is_older(release: str, other: str, older: bool) -> None:
    assert is_older(release, other) is older


def test_settings_survive_the_way_to_the_job_and_unknown_ones_are_refused_by_name() -> None:
    settings = msgspec.structs.replace(INSTALL, replicas=3, pull_secrets=["regcred"])
    assert InstallSettings.from_json(settings.to_json()) == settings
    assert "replicas" not in INSTALL.to_json()
    with pytest.raises(msgspec.ValidationError, match="fromTheFuture"):
        InstallSettings.from_json('{"namespace":"a","registry":"b","tag":"c","fromTheFuture":1}')


def test_a_strategy_of_another_release_may_lack_the_newest_part_or_have_one_more() -> None:
    strategy = strategy_of(INSTALL, INSTALL.deployment_id)
    older = {key: value for key, value in json.loads(msgspec.json.encode(strategy)).items() if key != "monitoring"}
    packed = b64encode(gzip.compress(json.dumps({**older, "ofANewerRelease": []}).encode())).decode()
    assert from_config_map(packed, INSTALL.deployment_id) == msgspec.structs.replace(strategy, monitoring=[])


def test_a_strategy_comes_back_from_its_config_map_and_a_damaged_one_does_not() -> None:
    strategy = strategy_of(INSTALL, INSTALL.deployment_id)
    text = to_config_map(strategy, INSTALL)["data"]["manifests"]
    assert len(text) < 512 * 1024  # of the megabyte that a ConfigMap may have
    assert from_config_map(text, INSTALL.deployment_id) == strategy
    for damaged in ("", "x", text[:-40], text[:100] + "AAAA" + text[104:]):
        with pytest.raises(BadStrategy):
            from_config_map(damaged, INSTALL.deployment_id)
    with pytest.raises(BadStrategy, match="printed for"):
        from_config_map(text, NEWER.deployment_id)


def test_a_missing_strategy_is_printed_by_the_requested_image() -> None:
    observed = steady({"imageTag": "v1.3.0"})
    action, hardware = plan(observed, OPERATOR).actions
    assert isinstance(hardware, Apply) and hardware.ref.name.startswith("kubevirt-hardware-")
    assert isinstance(action, Apply | Replace) and action.ref == Ref("Job", "kubevirt", name_of(NEWER.deployment_id))
    container = action.body["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example:5000/suite/virt-operator:v1.3.0"


def test_an_image_that_is_not_there_is_named_and_what_is_installed_is_kept_as_it_is() -> None:
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    stuck = pod(
        "virt-operator-strategy",
        "",
        ready=False,
        containerStatuses=[
            {"image": "registry.example:5000/suite/virt-operator:v1.3.0", "state": {"waiting": waiting}}
        ],
    )
    job = Ref("Job", "kubevirt", name_of(NEWER.deployment_id))
    observed = changed(steady({"imageTag": "v1.3.0"}), job, live({"metadata": {"name": job.name}}, {}))
    observed = replace(observed, pods=(*observed.pods, stuck))
    found = status(observed)
    assert found.upgrade is not None and found.upgrade.step == "InstallStrategy"
    assert (
        "ErrImagePull of image registry.example:5000/suite/virt-operator:v1.3.0" in found.upgrade.waiting_for[0].reason
    )
    assert found.conditions[0].status == "True"  # Available

    service = Ref("Service", "kubevirt", "virt-api")
    repaired = plan(without(observed, service), OPERATOR).actions
    assert [action.ref for action in repaired if isinstance(action, Apply | Replace) and action.ref.kind != "Job"] == [
        service
    ]


def test_towards_a_newer_release_the_operator_moves_first_and_alone() -> None:
    observed = expecting(installed(), {"imageTag": "v1.3.0"}, release="v1.3.0")
    decided = plan(observed, OPERATOR)
    (action,) = decided.actions
    assert isinstance(action, ApplyOwn)
    images = [
        body["spec"]["template"]["spec"]["containers"][0]["image"]
        for body in action.bodies
        if body["kind"] == "Deployment"
    ]
    assert images == ["registry.example:5000/suite/virt-operator:v1.3.0"]
    assert status(observed).upgrade == msgspec.structs.replace(
        status(observed).upgrade, operation="Update", step="Operator", from_version="v1.2.3", to_version="v1.3.0"
    )
    moved = replace(observed, operator=own_deployment(NEWER))
    assert plan(moved, OPERATOR).actions == ()
    assert "its successor" in plan(moved, OPERATOR).waits[0].why


def test_towards_an_older_release_the_operator_moves_last() -> None:
    observed = expecting(installed(), {"imageTag": "v1.2.0"}, release="v1.2.0")
    decided = plan(observed, OPERATOR)
    assert decided.operation == "Rollback"
    assert "ApplyOwn" not in kinds(decided.actions)
    back = installed(OLDER)
    back = replace(back, suite=suite({"imageTag": "v1.2.0"}, deployed()))
    found = strategies(OLDER, release="v1.2.0")
    old_pods = replace(back, owned={**back.owned, **found}, pods=(pod("virt-handler", "x"),))
    decided = plan(old_pods, OPERATOR)
    assert (decided.operation, kinds(decided.actions)) == ("Rollback", ["DeletePod"])
    back = replace(back, owned={**back.owned, **strategies(OLDER, release="v1.2.0"), **strategies(INSTALL)})
    assert kinds(plan(back, OPERATOR).actions) == ["ApplyOwn"]


def test_a_release_that_needs_more_permissions_is_not_begun() -> None:
    held = {**HELD, "kubevirt": tuple(rule for rule in HELD["kubevirt"] if rule["resources"] != ["daemonsets"])}
    observed = replace(expecting(installed(), {"imageTag": "v1.3.0"}, release="v1.3.0"), held=held)
    decided = plan(observed, OPERATOR)
    assert decided.actions == ()
    assert "apps daemonsets" in decided.missing
    assert "apply kubevirt-operator.yaml of release v1.3.0" in decided.missing
    found = status(observed)
    assert found.upgrade is not None and found.upgrade.step == "Permissions"
    conditions = {condition.type: f"{condition.status} {condition.reason}" for condition in found.conditions}
    assert (
        conditions["Synchronized"] == "False MissingPermissions" and conditions["Available"] == "True UpdateInProgress"
    )


def test_a_revoked_permission_is_reported_and_the_rest_continues() -> None:
    observed = replace(installed(), held={**HELD, "kube-system": ()})
    found = status(observed)
    synchronized = {condition.type: condition for condition in found.conditions}["Synchronized"]
    assert (synchronized.status, synchronized.reason) == ("False", "MissingPermissions")
    assert "rolebindings" in synchronized.message and "in kube-system" in synchronized.message
    service = Ref("Service", "kubevirt", "virt-api")
    assert kinds(plan(without(observed, service), OPERATOR).actions) == ["Apply"]


def test_nothing_is_decided_while_a_list_is_missing_but_a_missing_permission_is_reported() -> None:
    blind = replace(installed(), unknown=("deployments",), owned={})
    assert plan(blind, OPERATOR).actions == ()
    assert status(blind) == deployed()
    reported = status(replace(blind, held={}))
    assert [condition.reason for condition in reported.conditions] == ["MissingPermissions"]


def test_what_is_installed_is_kept_in_repair_while_the_spec_is_refused() -> None:
    observed = replace(installed(), suite=suite({"workloads": {"replicas": 3}}, deployed()))
    service = Ref("Service", "kubevirt", "virt-api")
    decided = plan(without(observed, service), OPERATOR)
    assert decided.refused is not None
    assert [action.ref for action in decided.actions if isinstance(action, Apply | Replace)] == [service]


def definition(settings: InstallSettings, field: str = "") -> Body:
    body = msgspec.json.decode(
        msgspec.json.encode(next(body for body in desired_objects(settings) if ref_of(body) == CRD))
    )
    if field:
        for version in body["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][field] = {"type": "string"}
    return body


def test_a_definition_never_loses_a_field() -> None:
    newer = definition(NEWER, "added")
    assert newer["metadata"]["annotations"][STRATEGY_RELEASE] == "v1.3.0"
    back = grown(definition(INSTALL), newer, updating=False)
    assert back == newer
    up = grown(newer, definition(INSTALL), updating=False)
    assert up["spec"] == newer["spec"]
    observed = changed(installed(), CRD, live(newer, {"conditions": [{"type": "Established", "status": "True"}]}))
    # An older operator does not fight it: it only compares.
    assert {type(action) for action in plan(observed, OPERATOR).actions} == {Compare}


def test_roles_hold_the_rules_of_both_releases_until_the_change_is_done() -> None:
    role = next(body for body in desired_objects(INSTALL) if ref_of(body) == Ref("ClusterRole", "", "kubevirt-handler"))
    extra = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    before = {**role, "rules": [*role["rules"], extra]}
    during = grown(role, before, updating=True)["rules"]
    assert extra in during and len(during) > len(role["rules"])
    assert grown(role, {**before, "rules": during}, updating=True)["rules"] == during
    assert grown(role, before, updating=False) == role


def test_times_of_an_operation_are_kept_as_long_as_it_waits_for_the_same() -> None:
    observed = expecting(installed(), {"imageTag": "v1.3.0"}, release="v1.3.0")
    first = status(observed)
    assert observed.suite is not None and first.upgrade is not None
    later = replace(
        observed,
        now=NOW + timedelta(minutes=1),
        suite=msgspec.structs.replace(observed.suite, status=first),
        operator=own_deployment(NEWER),
    )
    second = status(later)
    assert second.upgrade is not None
    assert second.upgrade.since == first.upgrade.since
    assert second.upgrade.waiting_for[0].since == first.upgrade.waiting_for[0].since
    assert second.upgrade.waiting_for[0].reason != first.upgrade.waiting_for[0].reason


def test_the_old_strategy_is_deleted_when_the_status_no_longer_names_it() -> None:
    observed = installed()
    observed = replace(observed, owned={**observed.owned, **strategies(OLDER)})
    old = Ref("ConfigMap", "kubevirt", name_of(OLDER.deployment_id))
    assert plan(observed, OPERATOR).actions == (Delete(old, f"uid-{old.name}", "not part of this release"),)
    unfinished = msgspec.structs.replace(deployed(), observed_deployment_id=OLDER.deployment_id)
    during = replace(observed, suite=suite(status=unfinished))
    assert plan(during, OPERATOR).actions == ()


def test_the_definition_of_a_kind_that_an_older_release_lacks_stays_with_all_its_objects() -> None:
    kind = {"kind": "CustomResourceDefinition", "metadata": {"name": "virtualmachinepools.kubevirt.io"}}
    observed = changed(installed(), ref_of(kind), live(kind, {}))
    assert plan(observed, OPERATOR).actions == ()


def test_an_update_that_is_cancelled_halfway_is_reverted_in_order() -> None:
    half = installed()
    daemon = next(body for body in desired_objects(NEWER) if body["kind"] == "DaemonSet")
    controller = next(body for body in desired_objects(NEWER) if ref_of(body) == CONTROLLER)
    for body in (daemon, controller):
        half = changed(half, ref_of(body), live(body, ready_status(body)))
    actions = plan(half, OPERATOR).actions  # the KubeVirt object asks for what was installed before
    assert [action.ref.name for action in actions if isinstance(action, Apply | Replace)] == ["virt-controller"]
    assert plan(half, OPERATOR).operation == "Rollback"


def running(observed: Observed, settings: InstallSettings, *components: str) -> Observed:
    """`observed` with the components as `settings` have them."""
    for body in desired_objects(settings):
        if body["kind"] in ("Deployment", "DaemonSet") and body["metadata"]["name"] in components:
            observed = changed(observed, ref_of(body), live(body, ready_status(body)))
    handler = pod("virt-handler", handler_hash(settings)) if "virt-handler" in components else None
    return replace(observed, pods=(handler,)) if handler is not None else observed


def applied(observed: Observed, operator: Settings = OPERATOR) -> set[str]:
    return {action.ref.kind for action in plan(observed, operator).actions if isinstance(action, Apply | Replace)}


def test_a_webhook_that_is_new_with_a_release_waits_until_no_virt_api_is_left_that_lacks_it() -> None:
    webhooks = {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    older = settled_definitions(installed(), "v1.3.0")
    older = without(older, *(ref for ref in older.owned if ref.kind in webhooks))
    older = expecting(older, {"imageTag": "v1.3.0"}, release="v1.3.0")
    operator = replace(OPERATOR, tag="v1.3.0", release="v1.3.0")
    assert "DaemonSet" in applied(older, operator) and not webhooks & applied(older, operator)
    half = running(older, NEWER, "virt-handler", "virt-controller")
    assert "Deployment" in applied(half, operator) and not webhooks & applied(half, operator)
    assert webhooks <= applied(running(half, NEWER, "virt-api"), operator)


def test_on_a_way_back_a_webhook_that_the_older_release_lacks_goes_before_its_virt_api_comes() -> None:
    newer = running(installed(), NEWER, "virt-handler", "virt-controller", "virt-api")
    ref = Ref("ValidatingWebhookConfiguration", "", "of-the-newer-release")
    with_it = changed(newer, ref, live({"metadata": {"name": ref.name}, "webhooks": []}, {}))
    removal = Delete(ref, "uid-of-the-newer-release", "not part of the release that comes back")
    assert plan(with_it, OPERATOR).actions == (removal,)
    assert applied(newer) == {"Deployment"}


BLUE = msgspec.structs.replace(INSTALL, tag="blue")


def moved(observed: Observed, release: str) -> Observed:
    """`observed` with a KubeVirt object that requests the tag "blue", which is that release."""
    expected = expecting(observed, {"imageTag": "blue"}, release=release)
    definitions = {
        ref_of(body): live(body, ready_status(body))
        for body in desired_objects(BLUE, release)
        if body["kind"] not in ("Deployment", "DaemonSet")
    }
    return replace(expected, owned={**expected.owned, **definitions})


@pytest.mark.parametrize(("release", "first"), [("v1.3.0", "virt-handler"), ("v1.2.0", "virt-api")])
def test_the_release_behind_a_tag_decides_the_direction_not_its_name(release: str, first: str) -> None:
    operator = replace(OPERATOR, tag="blue", release=max(release, OPERATOR.release))
    decided = plan(moved(installed(), release), operator)
    workloads = [
        action.ref.name for action in decided.actions if isinstance(action, Replace) and action.ref.kind in WORKLOADS
    ]
    assert (decided.operation, workloads) == ("Rollback" if first == "virt-api" else "Update", [first])
    assert decided.release == release


def test_a_definition_of_a_newer_release_is_kept_whatever_its_tag_is_called() -> None:
    newer = msgspec.structs.replace(INSTALL, tag="blue")
    wide = definition(newer, "added")
    wide["metadata"]["annotations"][STRATEGY_RELEASE] = "v1.3.0"
    assert grown(definition(INSTALL), wide, updating=False) == wide


def test_the_status_names_the_release_that_is_installed() -> None:
    assert status(replace(installed(), suite=suite())).observed_release == OPERATOR.release


def test_an_update_that_turns_out_to_be_a_rollback_keeps_its_start() -> None:
    observed = replace(installed(), suite=suite({"imageTag": "blue"}, deployed()))
    first = status(observed)
    assert first.upgrade is not None and (first.upgrade.operation, first.upgrade.step) == ("Update", "InstallStrategy")
    printed = replace(moved(observed, "v1.2.0"), now=NOW + timedelta(minutes=1))
    assert printed.suite is not None
    second = status(replace(printed, suite=msgspec.structs.replace(printed.suite, status=first)))
    assert second.upgrade is not None and second.upgrade.operation == "Rollback"
    assert second.upgrade.started_at == first.upgrade.started_at

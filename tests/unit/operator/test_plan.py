"""The operator's plan in each state of a cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_operator.change import renewals
from virt_operator.change.plan import plan
from virt_operator.strategy.desired import managed_labels
from virt_operator.strategy.install_strategy import name_of
from virt_operator.strategy.ref import Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.strategy.trust import trusting
from virt_operator.suite.actions import Apply, Delete, DeletePod, IssueLeaf, Replace
from virt_operator.suite.observed import Observed

from tests.unit.operator.suites import (
    API,
    API_SERVICE,
    CONTROLLER,
    HANDLER,
    HELD,
    INSTALL,
    NOW,
    OPERATOR,
    certificates,
    changed,
    deployed,
    desired_objects,
    expecting,
    handler_hash,
    installed,
    kinds,
    live,
    pod,
    ready_status,
    settled_definitions,
    strategies,
    suite,
    without,
)

STRATEGY = name_of(INSTALL.deployment_id)


def applied(observed: Observed) -> list[Ref]:
    return [action.ref for action in plan(observed, OPERATOR).actions if isinstance(action, Apply | Replace)]


def waits(observed: Observed) -> str:
    return "; ".join(f"{wait.what}: {wait.why}" for wait in plan(observed, OPERATOR).waits)


def test_without_a_kubevirt_object_nothing_is_done() -> None:
    assert plan(Observed(now=NOW, suite=None), OPERATOR).actions == ()


def test_finalizer_comes_before_anything_is_installed() -> None:
    observed = Observed(now=NOW, suite=suite(finalizers=["other"]))
    assert kinds(plan(observed, OPERATOR).actions) == ["AddFinalizer"]


def test_without_an_authority_everything_waits_then_pods_wait_for_their_certificates() -> None:
    empty = Observed(now=NOW, suite=suite())
    assert applied(empty) == [Ref("Job", "kubevirt", STRATEGY)]
    empty = replace(empty, owned=strategies(INSTALL), held=HELD)
    assert plan(empty, OPERATOR).actions == ()
    assert waits(empty) == "certificate authority: being made"

    observed = replace(empty, authority=installed().authority)
    decided = plan(observed, OPERATOR)
    issued = [action.leaf.secret for action in decided.actions if isinstance(action, IssueLeaf)]
    assert issued == [f"kubevirt-virt-{component}-certs" for component in ("api", "controller")]
    assert "WriteTrust" in kinds(decided.actions)
    refs = applied(observed)
    assert Ref("CustomResourceDefinition", "", "virtualmachineinstances.kubevirt.io") in refs
    assert not {API, CONTROLLER, HANDLER, API_SERVICE} & set(refs)
    assert "virt-api: Secret kubevirt-virt-api-certs is being made" in waits(observed)


def test_api_service_waits_for_virt_api_only_when_it_is_new() -> None:
    starting = {**ready_status({}), "replicas": 2, "updatedReplicas": 2, "availableReplicas": 0}
    everything = installed()
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    observed = changed(everything, API, live(body, starting))
    assert applied(without(observed, API_SERVICE)) == []
    assert "virt-api comes first: 0 of 2 pods are ready" in waits(without(observed, API_SERVICE))

    stale = next(
        body
        for body in (trusting(body, "c3RhbGU=") for body in desired_objects(INSTALL))
        if ref_of(body) == API_SERVICE
    )
    assert applied(changed(observed, API_SERVICE, live(stale, ready_status(stale)))) == [API_SERVICE]

    serving = changed(everything, API, live(body, {**starting, "availableReplicas": 1}))
    assert applied(without(serving, API_SERVICE)) == [API_SERVICE]


def test_an_installed_suite_needs_nothing() -> None:
    decided = plan(installed(), OPERATOR)
    assert decided.actions == ()
    assert decided.waits == ()
    assert decided.created
    assert decided.next_deadline is not None
    assert NOW < decided.next_deadline < NOW + timedelta(hours=13)


@pytest.mark.parametrize(
    "body", desired_objects(INSTALL), ids=lambda body: f"{body['kind']}-{body['metadata']['name']}"
)
def test_each_object_is_made_again_when_it_is_gone(body: dict[str, object]) -> None:
    assert applied(without(installed(), ref_of(body))) == [ref_of(body)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("replicas", 0), ("template", {}), ("strategy", {"type": "Recreate"})],
)
def test_drift_of_a_deployment_is_repaired(field: str, value: object) -> None:
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    edited = {**body, "spec": {**body["spec"], field: value}}
    assert applied(changed(installed(), API, live(edited, ready_status(body)))) == [API]


def test_fields_that_others_added_are_left_alone() -> None:
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == API)
    edited = msgspec.json.decode(msgspec.json.encode(body))
    edited["metadata"]["annotations"]["someone.else/note"] = "x"
    edited["spec"]["revisionHistoryLimit"] = 3
    edited["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "PROXY", "value": "y"})
    assert applied(changed(installed(), API, live(edited, ready_status(body)))) == []


def test_a_narrowed_role_is_repaired() -> None:
    ref = Ref("ClusterRole", "", "kubevirt-handler")
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == ref)
    rules = [{**rule, "resourceNames": ["only"]} for rule in body["rules"]]
    assert applied(changed(installed(), ref, live({**body, "rules": rules}, {}))) == [ref]


def test_an_object_of_another_release_goes_when_all_is_ready() -> None:
    old = {"kind": "Service", "metadata": {"name": "old", "namespace": "kubevirt", "labels": managed_labels()}}
    observed = changed(installed(), Ref("Service", "kubevirt", "old"), live(old, {}))
    assert plan(observed, OPERATOR).actions == (
        Delete(Ref("Service", "kubevirt", "old"), "uid-old", "not part of this release"),
    )
    assert kinds(plan(without(observed, API), OPERATOR).actions) == ["Apply"]  # not before


def test_an_unsupported_field_is_refused_by_name_and_nothing_is_begun() -> None:
    spec = {
        "workloads": {"replicas": 2},
        "configuration": {
            "developerConfiguration": {"minimumClusterTSCFrequency": 1},
            "virtualMachineOptions": {"disableFreePageReporting": {}, "disableSerialConsoleLog": {}},
            "migrations": {},
        },
    }
    decided = plan(Observed(now=NOW, suite=suite(spec)), OPERATOR)
    assert decided.actions == ()
    assert decided.refused is not None
    assert decided.refused.reason == "UnsupportedField"
    assert "spec.configuration.developerConfiguration.minimumClusterTSCFrequency" in str(decided.refused)
    assert "spec.workloads.replicas" in str(decided.refused)
    assert "spec.configuration.virtualMachineOptions.disableFreePageReporting" in str(decided.refused)
    assert "disableSerialConsoleLog" not in str(decided.refused) and "migrations" not in str(decided.refused)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("imageTag", "not a tag"),
        ("imagePullPolicy", "Sometimes"),
        ("imageRegistry", "https://x"),
        ("uninstallStrategy", "Block"),
    ],
)
def test_a_bad_value_is_refused_with_field_and_value(field: str, value: str) -> None:
    refused = plan(Observed(now=NOW, suite=suite({field: value})), OPERATOR).refused
    assert refused is not None
    assert refused.reason == "InvalidField"
    assert f"spec.{field}: {value!r}" in str(refused)


def test_certificates_of_a_refused_spec_are_still_renewed() -> None:
    observed = installed(pairs=certificates(NOW - timedelta(hours=13)))
    observed = replace(observed, suite=suite({"workloads": {"replicas": 3}}, deployed()))
    assert kinds(plan(observed, OPERATOR).actions) == ["IssueLeaf"] * 2


def test_empty_values_ask_for_nothing() -> None:
    spec = {
        "certificateRotateStrategy": {},
        "configuration": {"developerConfiguration": {"featureGates": [], "useEmulation": True}},
        "customizeComponents": {},
        "imagePullPolicy": "IfNotPresent",
        "workloadUpdateStrategy": {},
        "infra": {"nodePlacement": {}},
    }
    observed = replace(installed(), suite=suite(spec, deployed()))
    assert plan(observed, OPERATOR).refused is None
    assert plan(observed, OPERATOR).actions == ()


def test_what_new_machines_get_is_configured_without_touching_the_suite() -> None:
    amd64 = {"emulatedMachines": ["pc-q35-7.*"], "machineType": "pc-q35-7.2"}
    machines = {"cpuModel": "Haswell", "machineType": "q35", "emulatedMachines": ["q35"]}
    spec = {"configuration": {**machines, "architectureConfiguration": {"amd64": amd64}}}
    decided = plan(replace(installed(), suite=suite(spec, deployed())), OPERATOR)
    assert (decided.refused, decided.actions) == (None, ())
    other = {"configuration": {"architectureConfiguration": {"s390x": amd64}}}
    assert "s390x.machineType" in str(plan(replace(installed(), suite=suite(other, deployed())), OPERATOR).refused)


def test_image_tag_and_registry_come_from_the_object() -> None:
    decided = plan(
        replace(installed(), suite=suite({"imageTag": "v9", "imageRegistry": "r:1/x"}, deployed())), OPERATOR
    )
    assert decided.settings == InstallSettings("kubevirt", "r:1/x", "v9")


@pytest.mark.parametrize(
    ("target", "first"), [("v1.3.0", HANDLER), ("not-a-version", HANDLER), ("v1.2.2", API), ("v1.2.3-rc.1", API)]
)
def test_a_change_of_version_begins_at_the_right_end(target: str, first: Ref) -> None:
    observed = expecting(installed(), {"imageTag": target}, release=target)
    operator = replace(OPERATOR, tag=target, release=target) if first == HANDLER else OPERATOR
    actions = plan(settled_definitions(observed, target), operator).actions
    refs = [action.ref for action in actions if isinstance(action, Apply | Replace)]
    workloads = [ref for ref in refs if ref.kind in ("Deployment", "DaemonSet")]
    assert workloads == [first]


def test_old_handler_pods_are_replaced_one_by_one() -> None:
    old, new = (pod("virt-handler", key, name=name) for key, name in (("old", "a"), (handler_hash(), "b")))
    observed = replace(installed(), pods=(old, new))
    assert plan(observed, OPERATOR).actions == (DeletePod("a", "uid-a", "made from an older template"),)
    assert "replacing pods of the old template" in waits(observed)

    unready = replace(observed, pods=(old, pod("virt-handler", handler_hash(), name="b", ready=False)))
    assert plan(unready, OPERATOR).actions == ()

    broken = replace(observed, pods=(pod("virt-handler", "old", name="a", ready=False), new))
    assert kinds(plan(broken, OPERATOR).actions) == ["DeletePod"]


def test_what_is_waited_for_is_named_with_reason_and_image() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    stuck = pod(
        "virt-handler",
        handler_hash(),
        ready=False,
        containerStatuses=[{"image": "r/virt-handler:v9", "state": {"waiting": waiting}}],
    )
    body = next(body for body in desired_objects(INSTALL) if ref_of(body) == HANDLER)
    status = {**ready_status(body), "numberReady": 0}
    observed = replace(changed(installed(), HANDLER, live(body, status)), pods=(stuck,))
    assert waits(observed) == (
        "DaemonSet kubevirt/virt-handler: 0 of 1 pods are ready "
        "(pod virt-handler-0: ImagePullBackOff of image r/virt-handler:v9: not found)"
    )


def test_an_overwritten_secret_is_recreated() -> None:
    pairs = certificates()
    scribbled = {**pairs, "kubevirt-virt-api-certs": replace(pairs["kubevirt-virt-api-certs"], certificate=b"x")}
    assert kinds(plan(installed(pairs=scribbled), OPERATOR).actions) == ["IssueLeaf"]
    stranger = certificates()["kubevirt-virt-api-certs"]
    foreign = {**pairs, "kubevirt-virt-api-certs": replace(stranger, bundle=pairs["kubevirt-ca"].bundle)}
    assert kinds(plan(installed(pairs=foreign), OPERATOR).actions) == ["IssueLeaf"]


def test_first_installation_has_no_order() -> None:
    observed = without(installed(), API, CONTROLLER, HANDLER)
    observed = replace(observed, suite=suite(status=KubeVirtStatus()), pods=())
    assert applied(observed) == [API, CONTROLLER, HANDLER]


def test_handlers_of_an_earlier_release_keep_the_certificate_that_they_share() -> None:
    """Upgraded, it goes at the end like any superfluous object; on the way back it is there before its DaemonSet."""
    body = msgspec.json.decode(
        msgspec.json.encode(next(body for body in desired_objects(INSTALL) if ref_of(body) == HANDLER))
    )
    shared = Ref("Secret", "kubevirt", "kubevirt-virt-handler-certs")
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "c", "secret": {"secretName": shared.name}}]
    earlier = changed(installed(), HANDLER, live(body, ready_status(body)))
    issued = [action.leaf.dns_names for action in plan(earlier, OPERATOR).actions if isinstance(action, IssueLeaf)]
    assert issued == [("virt-handler.kubevirt.svc",)]

    old = {"kind": "Secret", "metadata": {"name": shared.name, "namespace": "kubevirt", "labels": managed_labels()}}
    assert kinds(plan(changed(installed(), shared, live(old, {})), OPERATOR).actions) == ["Delete"]
    due = renewals.due_now(installed(), "kubevirt", [body])
    assert [leaf.secret for leaf in due.leaves] == [shared.name]
    assert renewals.missing(installed(), body) == shared.name


def test_an_object_that_is_being_deleted_is_removed_by_the_same_decision() -> None:
    leaving = suite(status=deployed(), deletion_timestamp="2026-01-31T10:00:00Z")
    decided = plan(replace(installed(), suite=leaving), OPERATOR)
    definitions = {action.ref.kind for action in decided.actions if isinstance(action, Delete)}
    assert definitions == {"CustomResourceDefinition"}
    assert plan(replace(installed(), suite=leaving, unknown=("pods",)), OPERATOR).actions == ()


def test_trouble_of_the_api_server_with_the_webhook_is_waited_for() -> None:
    decided = plan(replace(installed(), webhook_trouble="connection refused"), OPERATOR)
    assert [wait.what for wait in decided.waits] == ["ValidatingWebhookConfiguration virt-operator-validator"]
    assert "connection refused" in decided.waits[0].why
    assert decided.actions == ()


def test_the_installed_release_is_kept_in_repair_while_the_next_one_cannot_begin() -> None:
    observed = installed(pairs=certificates(NOW - timedelta(hours=13)))
    observed = replace(
        without(observed, Ref("Service", "kubevirt", "virt-api")), suite=suite({"imageTag": "v9"}, deployed())
    )
    actions = plan(observed, OPERATOR).actions
    assert kinds(actions) == ["IssueLeaf", "IssueLeaf", "Apply", "Apply", "Apply"]
    assert [action.ref.kind for action in actions if isinstance(action, Apply)] == ["Service", "Job", "Job"]

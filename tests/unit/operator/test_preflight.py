"""The plan of an upgrade: a clean cluster, and seeded defects of the suite and its nodes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from virt_core.objects.meta import Condition, ObjectMeta
from virt_core.objects.upgrade_status import Stopped, Upgrade
from virt_operator.images.outcome import ImageTrouble
from virt_operator.preflight.finding import Severity, Step, Subject
from virt_operator.preflight.kinds import StoredObject
from virt_operator.preflight.observed import Certificate, Question, Target
from virt_operator.preflight.plan import plan
from virt_operator.strategy.install_strategy import strategy_of

from .preflight_cluster import (
    AVAILABLE,
    MOVES,
    PROBED,
    STRATEGY,
    TARGET,
    about,
    cluster,
    definitions,
    guest,
    handler,
    judged,
    machine,
    node,
    only,
    severe,
)
from .suites import HELD, INSTALL, NOW, deployed, suite

ADA = Subject("VirtualMachineInstance", "default", "ada")
BOB = Subject("VirtualMachine", "default", "bob")


def test_a_clean_cluster_has_no_problems_and_says_what_is_done_to_everything() -> None:
    found = judged(cluster(MOVES, machines=(machine("ada"), machine("bob"))))
    assert severe(found) == [] and found.operation == "Update"
    assert {finding.subject.kind for finding in found.findings} >= {
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "KubeVirt",
        "Node",
        "Secret",
        "ServiceAccount",
        "VirtualMachine",
        "VirtualMachineInstance",
    }
    assert [finding.reason for finding in about(found, ADA)] == ["WillMigrate"]
    assert [finding.reason for finding in about(found, BOB)] == ["StartsOnTarget"]
    assert [finding.steps for finding in about(found, Subject("Node", "", "node2"))] == [
        (Step("replace virt-handler", 4.0),)
    ]
    assert 30 < found.seconds < 120


def test_the_steps_of_the_change_have_their_order_and_the_operator_once() -> None:
    def names(found: Any) -> list[str]:
        (whole,) = (
            finding
            for finding in found.findings
            if finding.reason.startswith("Will") and finding.subject[0] == "KubeVirt"
        )
        return [step.action for step in whole.steps]

    up = names(judged(cluster()))
    assert [name for name in up if name.startswith(("virt", "Op"))] == [
        "Operator",
        "virt-handler",
        "virt-controller",
        "virt-api",
    ]
    older = replace(PROBED, strategy=msgspec.structs.replace(STRATEGY, release="v1.1.0"))
    back = judged(cluster(), older)
    assert back.operation == "Rollback"
    assert [name for name in names(back) if name.startswith(("virt", "Op"))] == [
        "virt-api",
        "virt-controller",
        "virt-handler",
        "Operator",
    ]


def test_nothing_is_to_be_done_for_what_is_installed() -> None:
    found = judged(cluster(), Target(), INSTALL)
    assert found.operation == "None" and severe(found) == []
    assert [finding.reason for finding in found.findings] == ["NothingToDo", "CertificateValid"]


def test_each_permission_that_the_operator_lacks_is_named() -> None:
    held = {name: tuple(rule for rule in rules if rule["resources"] != ["events"]) for name, rules in HELD.items()}
    found = severe(judged(cluster(held=held)))
    assert {(one.reason, one.severity) for one in found} == {("PermissionMissing", Severity.BLOCKING)}
    assert {one.subject for one in found} == {Subject("ServiceAccount", "kubevirt", "kubevirt-operator")}
    message = "lacks events.k8s.io events create: apply kubevirt-operator.yaml of release v1.3.0 first"
    assert message in [one.message for one in found]


def test_an_image_that_is_missing_is_named_with_what_the_kubelet_says() -> None:
    trouble = ImageTrouble("registry.example/virt-launcher:v1.3.0", "ImageMissing", "ErrImagePull: not found")
    found = only(judged(cluster(), Target(STRATEGY, None, (trouble,), probed=True)))
    assert found.subject == Subject("Image", "", "registry.example/virt-launcher:v1.3.0")
    assert (found.reason, found.severity, found.message) == (
        "ImageMissing",
        Severity.BLOCKING,
        "ErrImagePull: not found",
    )


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (11, None),
        (5, "CertificateNearItsEnd"),
        (-1, "CertificateExpired"),
    ],
)
def test_a_certificate_near_its_end_is_named(left: int, reason: str | None) -> None:
    end = NOW + timedelta(hours=left)
    old = Certificate("kubevirt-virt-controller-certs", end - timedelta(hours=24), end)
    found = [finding.reason for finding in severe(judged(cluster(certificates=(old,))))]
    assert found == ([reason] if reason else [])


def test_an_object_with_a_field_that_the_target_does_not_have_is_named() -> None:
    crds = definitions()
    name = "virtualmachines.kubevirt.io"
    live = msgspec.json.decode(msgspec.json.encode(crds[name]))
    for version in live["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["magic"] = {
            "type": "array",
            "items": {"type": "object", "properties": {"wand": {"type": "string"}}},
        }
    objects = (
        StoredObject(ObjectMeta("bob", "default"), msgspec.Raw(b'{"magic": [{"wand": "x"}]}')),
        StoredObject(ObjectMeta("eve", "default"), msgspec.Raw(b'{"running": true}')),
    )
    found = only(judged(cluster(definitions={**crds, name: live}, stored={name: objects})))
    assert (found.subject, found.reason, found.severity) == (BOB, "StoredFieldGone", Severity.BLOCKING)
    assert "spec.magic" in found.message


def test_a_stored_version_that_the_target_does_not_have_is_named() -> None:
    crds = definitions()
    name = "virtualmachines.kubevirt.io"
    old = {**crds[name], "status": {"storedVersions": ["v1alpha2", "v1"]}}
    found = only(judged(cluster(definitions={**crds, name: old})))
    assert found.subject == Subject("CustomResourceDefinition", "", name)
    assert (found.reason, found.severity) == ("StoredVersionGone", Severity.BLOCKING) and "v1alpha2" in found.message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"nodes": (node("node1"), node("node2", status={"conditions": [{"type": "Ready", "status": "Unknown"}]}))},
            "NodeNotReady",
        ),
        ({"handlers": (handler("node1"), handler("node2", ready=False))}, "HandlerNotReady"),
        ({"handlers": (handler("node1"),)}, "HandlerMissing"),
        (
            {
                "nodes": (
                    node("node1"),
                    node("node2", metadata={"annotations": {"kubevirt.io/heartbeat": "2026-01-31T09:50:00Z"}}),
                )
            },
            "HandlerSilent",
        ),
    ],
)
def test_a_node_that_is_not_ready_or_without_a_working_handler_is_named(changes: Any, reason: str) -> None:
    found = only(judged(cluster(**changes)))
    assert (found.subject, found.reason, found.severity) == (Subject("Node", "", "node2"), reason, Severity.BLOCKING)


def test_a_node_that_never_had_a_handler_is_not_part_of_the_plan() -> None:
    bare = node("node3", metadata={"labels": {}})
    found = judged(cluster(nodes=(node("node1"), node("node2"), bare)))
    assert severe(found) == [] and about(found, Subject("Node", "", "node3")) == []


def test_a_suite_that_is_absent_or_not_settled_is_named() -> None:
    assert [finding.reason for finding in severe(judged(cluster(suite=None)))] == ["NotInstalled"]

    def reasons(**status: Any) -> list[str]:
        reported = msgspec.structs.replace(deployed(), **{"conditions": [AVAILABLE], **status})
        return [finding.reason for finding in severe(judged(cluster(suite=suite({}, reported))))]

    assert reasons() == []
    assert reasons(upgrade=Upgrade("Update", "virt-handler", "2026-01-31T09:59:30Z")) == ["ChangeInProgress"]
    assert reasons(upgrade=Upgrade()) == []  # only the way back of the last change is there
    stopped = Stopped("1f", "v9", "0.9.0", "Update", "virt-handler", "node node1", "machines", "does not see x", "")
    assert reasons(upgrade=Upgrade("Stopped", stopped=stopped)) == ["HasStopped"]
    assert reasons(conditions=[Condition("Available", "False", "NoHandler", "none")]) == ["NotAvailable"]


def test_what_cannot_be_decoded_is_a_warning() -> None:
    found = only(judged(cluster(undecodable={"VirtualMachineInstance": ["default/odd"]})))
    assert found.subject == Subject("VirtualMachineInstance", "default", "odd")
    assert (found.reason, found.severity) == ("NotExamined", Severity.WARNING)


def test_offline_judges_what_is_known_without_the_target() -> None:
    broken = cluster(MOVES, handlers=(handler("node1"),), guests=(guest(conditions=[]),))
    found = judged(broken, Target())
    assert found.operation == "Unknown"
    assert sorted(finding.reason for finding in severe(found)) == ["HandlerMissing", "NotYetKnown"]


def test_objects_that_come_change_and_go_are_listed_and_definitions_say_what_stays() -> None:
    fewer = msgspec.structs.replace(TARGET, replicas=1)
    target = replace(PROBED, strategy=strategy_of(fewer, fewer.deployment_id, fewer.tag))
    reasons = {finding.subject: finding for finding in judged(cluster(definitions={}), target).findings}
    assert reasons[Subject("PodDisruptionBudget", "kubevirt", "virt-api-pdb")].reason == "WillBeRemoved"
    assert reasons[Subject("Deployment", "kubevirt", "virt-api")].reason == "WillBeChanged"
    added = reasons[Subject("CustomResourceDefinition", "", "virtualmachines.kubevirt.io")]
    assert added.reason == "KindAdded" and added.irreversible


def test_a_refused_target_is_named() -> None:
    found: Any = plan(cluster(), Question(None, "a b", "r", "spec.imageTag: 'a b' is not a tag"), Target())
    assert only(found).reason == "SpecRefused"

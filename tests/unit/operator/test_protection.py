"""The policy that protects the operator, and the webhook's configuration, as objects."""

from __future__ import annotations

from virt_core.conventions import labels
from virt_core.conventions.component_pod import HTTPS_SERVICE_PORT, OPERATOR_WEBHOOK_PORT
from virt_operator.strategy.admission import PROTECTED, policy
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.ref import KINDS
from virt_operator.webhook.configuration import SERVICE, configuration

from tests.unit.operator.suites import INSTALL


def test_everything_in_the_operators_manifest_is_protected_and_nothing_else_but_crds() -> None:
    plurals = {"Namespace": "namespaces", "PriorityClass": "priorityclasses"}
    for body in operator_objects(INSTALL):
        assert body["metadata"]["labels"][labels.OPERATOR] == "", body["metadata"]["name"]
        group, _, _ = body["apiVersion"].rpartition("/")
        plural = plurals.get(body["kind"]) or KINDS[body["kind"]].plural
        assert plural in PROTECTED[group], body["kind"]
    labelled = {body["kind"] for body in desired_objects(INSTALL) if labels.OPERATOR in body["metadata"]["labels"]}
    assert labelled == {"CustomResourceDefinition"}


def test_pods_of_the_operator_can_be_deleted() -> None:
    deployment = operator_objects(INSTALL)[-1]
    assert labels.OPERATOR not in deployment["spec"]["template"]["metadata"]["labels"]


def test_the_policy_is_about_objects_with_our_label_only() -> None:
    decided, bound = policy("kubevirt", "kubevirt-operator")
    assert decided["spec"]["matchConstraints"]["objectSelector"] == {"matchLabels": {labels.OPERATOR: ""}}
    assert bound["spec"]["paramRef"]["parameterNotFoundAction"] == "Allow"


def test_the_webhook_is_where_the_service_sends() -> None:
    service = next(body for body in operator_objects(INSTALL) if body["kind"] == "Service")
    deployment = operator_objects(INSTALL)[-1]
    client = configuration("kubevirt", "", "uid")["webhooks"][0]["clientConfig"]["service"]
    ports = {port["port"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert (client["name"], client["namespace"]) == (SERVICE, service["metadata"]["namespace"])
    assert ports[HTTPS_SERVICE_PORT] == OPERATOR_WEBHOOK_PORT
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()

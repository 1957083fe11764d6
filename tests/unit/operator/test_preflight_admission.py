"""The plan of an upgrade: webhooks and policies of others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from virt_operator.preflight.finding import Severity, Subject
from virt_operator.preflight.webhooks import Policy, PolicyBinding, Webhooks

from .preflight_cluster import (
    about,
    cluster,
    judged,
    only,
    severe,
)

APPS = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*"], "operations": ["*"]}
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}


def webhook(name: str = "gone", **changes: Any) -> Webhooks:
    entry = {
        "name": "review.example.com",
        "clientConfig": {"service": {"namespace": "policies", "name": name}},
        "rules": [APPS],
        **changes,
    }
    body = {"metadata": {"name": "others"}, "kind": "ValidatingWebhookConfiguration", "webhooks": [entry]}
    return msgspec.convert(body, Webhooks)


def test_a_webhook_of_others_that_nobody_answers_stands_in_the_way_of_what_it_matches() -> None:
    found = only(judged(cluster(webhooks=(webhook(),))))
    assert found.subject == Subject("ValidatingWebhookConfiguration", "", "others")
    assert (found.reason, found.severity) == ("WebhookInTheWay", Severity.BLOCKING)
    assert "policies/gone" in found.message and "deployments kubevirt/virt-api" in found.message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "reviewer"}, None),
        ({"failurePolicy": "Ignore"}, "WebhookSilent"),
        ({"matchConditions": [{"name": "a", "expression": "false"}]}, "WebhookMayRefuse"),
        ({"rules": [{**APPS, "resources": ["jobs"]}]}, None),
        (
            {"rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*"], "operations": ["DELETE"]}]},
            None,
        ),
        ({"namespaceSelector": {"matchLabels": {"review": "yes"}}}, None),
        ({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}, None),
        ({"clientConfig": {"url": "https://example.com"}}, None),
    ],
)
def test_a_webhook_that_does_not_refuse_does_not_stand_in_the_way(changes: Any, reason: str | None) -> None:
    service = changes.pop("name", "gone") if "name" in changes else "gone"
    found = [finding.reason for finding in severe(judged(cluster(webhooks=(webhook(service, **changes),))))]
    assert found == ([reason] if reason else [])


def test_a_policy_of_others_that_denies_is_named() -> None:
    matched = {
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
    }
    policy = {"metadata": {"name": "pods"}, "spec": {"matchConstraints": matched}}
    binding = {"metadata": {"name": "pods"}, "spec": {"policyName": "pods", "validationActions": ["Deny"]}}
    there = cluster(policies=(msgspec.convert(policy, Policy),), bindings=(msgspec.convert(binding, PolicyBinding),))
    subject = Subject("ValidatingAdmissionPolicy", "", "pods")
    assert [finding.reason for finding in about(judged(there), subject)] == ["PolicyReviews"]
    by_parameters = {**policy, "spec": {**policy["spec"], "paramKind": {"kind": "Limits"}}}  # type: ignore[dict-item]
    there = replace(there, policies=(msgspec.convert(by_parameters, Policy),))
    assert only(judged(there)).reason == "PolicyMayDeny"
    audited = {**binding, "spec": {**binding["spec"], "validationActions": ["Audit"]}}  # type: ignore[dict-item]
    assert about(judged(replace(there, bindings=(msgspec.convert(audited, PolicyBinding),))), subject) == []

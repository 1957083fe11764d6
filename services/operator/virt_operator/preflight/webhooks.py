"""Admission of others: webhooks and policies that the change's requests have to pass. Pure.

    webhook matches what is written + nobody answers + failurePolicy Fail  →  the API server refuses the write

Conditions in CEL are not evaluated: a webhook with some may not be called, so that it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from virt_core.objects.meta import ObjectMeta

FAIL = "Fail"
_ALL = "*"


class Rule(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Requests that are reviewed."""

    api_groups: list[str] = []
    api_versions: list[str] = []
    resources: list[str] = []
    operations: list[str] = []
    scope: str = "*"
    resource_names: list[str] = []


class Expression(msgspec.Struct, frozen=True, gc=False):
    """A requirement of a label selector."""

    key: str
    operator: str
    values: list[str] = []


class Selector(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A label selector; an empty one selects all."""

    match_labels: dict[str, str] = {}
    match_expressions: list[Expression] = []

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects something with these labels."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_meets(expression, labels) for expression in self.match_expressions)


class ServiceReference(msgspec.Struct, frozen=True, gc=False):
    """The Service behind a webhook."""

    namespace: str
    name: str


class ClientConfig(msgspec.Struct, frozen=True, gc=False):
    """How the API server reaches a webhook."""

    service: ServiceReference | None = None


class Webhook(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One webhook."""

    name: str
    client_config: ClientConfig = ClientConfig()
    rules: list[Rule] = []
    failure_policy: str = FAIL
    namespace_selector: Selector = Selector()
    object_selector: Selector = Selector()
    match_conditions: list[dict[str, Any]] = []


class Webhooks(msgspec.Struct, frozen=True):
    """A ValidatingWebhookConfiguration or MutatingWebhookConfiguration."""

    metadata: ObjectMeta
    kind: str = ""
    webhooks: list[Webhook] = []


class MatchResources(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What a policy, or its binding, applies to."""

    namespace_selector: Selector = Selector()
    object_selector: Selector = Selector()
    resource_rules: list[Rule] = []
    exclude_resource_rules: list[Rule] = []


class PolicySpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The spec of a ValidatingAdmissionPolicy."""

    failure_policy: str = FAIL
    match_constraints: MatchResources = MatchResources()
    match_conditions: list[dict[str, Any]] = []
    param_kind: dict[str, str] | None = None


class Policy(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicy."""

    metadata: ObjectMeta
    spec: PolicySpec = PolicySpec()


class BindingSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The spec of a ValidatingAdmissionPolicyBinding."""

    policy_name: str = ""
    validation_actions: list[str] = []
    match_resources: MatchResources = MatchResources()


class PolicyBinding(msgspec.Struct, frozen=True):
    """A ValidatingAdmissionPolicyBinding."""

    metadata: ObjectMeta
    spec: BindingSpec = BindingSpec()


def covers(rules: Iterable[Rule], write: Any) -> bool:
    """Whether a write is among those that the rules select."""
    return any(_covers(rule, write) for rule in rules)


def _covers(rule: Rule, write: Any) -> bool:
    return (
        _includes(rule.api_groups, write.group)
        and _includes(rule.api_versions, write.version)
        and (_includes(rule.resources, write.plural) or "*/*" in rule.resources)
        and (_ALL in rule.operations or bool(write.operations.intersection(rule.operations)))
        and rule.scope in (_ALL, "", "Namespaced" if write.namespace else "Cluster")
        and (not rule.resource_names or write.name in rule.resource_names)
    )


def _includes(allowed: Iterable[str], value: str) -> bool:
    return any(entry in (_ALL, value) for entry in allowed)


def _meets(expression: Expression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False

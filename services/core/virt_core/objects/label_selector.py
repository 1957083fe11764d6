"""Kubernetes' label selectors: which objects a workload's owner counts as its own. Pure.

Read by controllers, and checked by admission. Source of operators and rules: k8s.io/apimachinery, meta/v1
LabelSelector.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from virt_core.validation.refusal import LABEL_VALUE, QUALIFIED_NAME, Refusal, Refusals, matching, refused
from virt_core.validation.strict import Strict

_IN, _NOT_IN, _EXISTS, _DOES_NOT_EXIST = OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class Requirement(Strict, frozen=True):
    """A condition on the value of a label."""

    key: str
    operator: str
    values: list[str] = msgspec.field(default_factory=list)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it. An unknown operator matches nothing."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        return False

    def __str__(self) -> str:
        if self.operator in (_EXISTS, _DOES_NOT_EXIST):
            return self.key if self.operator == _EXISTS else f"!{self.key}"
        word = "in" if self.operator == _IN else "notin"
        return f"{self.key} {word} ({','.join(sorted(self.values))})"


class LabelSelector(Strict, frozen=True):
    """All of its conditions must be met."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: list[Requirement] = msgspec.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition."""
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected. An empty selector selects nothing here: it would select
        every object of the namespace."""
        if self.is_empty or not self.match_labels.items() <= labels.items():
            return False
        return all(requirement.matches(labels) for requirement in self.match_expressions)

    def __str__(self) -> str:
        """As a query of the API server has it, ordered by label: clients of the scale subresource select pods by it."""
        equal = [(key, f"{key}={value}") for key, value in self.match_labels.items()]
        expressions = [(requirement.key, str(requirement)) for requirement in self.match_expressions]
        return ",".join(text for _, text in sorted([*equal, *expressions]))


def selector_refusals(selector: LabelSelector, field: str) -> Refusals:
    """What is wrong with a selector; `field` is its path below spec."""
    if selector.is_empty:
        yield Refusal(f"spec.{field}", "is empty, use matchLabels or matchExpressions: it would select every object")
    for key, value in selector.match_labels.items():
        yield from matching(f"{field}.matchLabels", key, QUALIFIED_NAME)
        yield from matching(f"{field}.matchLabels.{key}", value, LABEL_VALUE)
    for index, requirement in enumerate(selector.match_expressions):
        yield from _requirement_refusals(requirement, f"{field}.matchExpressions[{index}]")


def _requirement_refusals(requirement: Requirement, field: str) -> Refusals:
    yield from matching(f"{field}.key", requirement.key, QUALIFIED_NAME)
    if requirement.operator not in OPERATORS:
        yield refused(f"{field}.operator", requirement.operator, " or ".join(OPERATORS))
    elif requirement.operator in (_IN, _NOT_IN) and not requirement.values:
        yield Refusal(f"spec.{field}.values", f"is missing, {requirement.operator} needs a value")
    elif requirement.operator in (_EXISTS, _DOES_NOT_EXIST) and requirement.values:
        yield Refusal(f"spec.{field}.values", f"is not allowed with {requirement.operator}, remove it")
    for index, value in enumerate(requirement.values):
        yield from matching(f"{field}.values[{index}]", value, LABEL_VALUE)

"""Label selectors select what Kubernetes' do, and are printed as the API server reads them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_core.objects.label_selector import LabelSelector, selector_refusals

WEB = {"matchLabels": {"app": "web"}}


def selector(**body: Any) -> LabelSelector:
    return msgspec.convert(body, LabelSelector)


def expression(operator: str, *values: str) -> dict[str, Any]:
    return {"key": "tier", "operator": operator, **({"values": list(values)} if values else {})}


@pytest.mark.parametrize(
    ("wanted", "labels", "selected"),
    [
        (WEB, {"app": "web", "more": ""}, True),
        (WEB, {"app": "db"}, False),
        (WEB, {}, False),
        ({}, {"app": "web"}, False),
        ({"matchExpressions": [expression("In", "a", "b")]}, {"tier": "b"}, True),
        ({"matchExpressions": [expression("In", "a", "b")]}, {"tier": "c"}, False),
        ({"matchExpressions": [expression("In", "a")]}, {}, False),
        ({"matchExpressions": [expression("NotIn", "a")]}, {}, True),
        ({"matchExpressions": [expression("NotIn", "a")]}, {"tier": "a"}, False),
        ({"matchExpressions": [expression("Exists")]}, {"tier": ""}, True),
        ({"matchExpressions": [expression("Exists")]}, {}, False),
        ({"matchExpressions": [expression("DoesNotExist")]}, {}, True),
        ({"matchExpressions": [expression("DoesNotExist")]}, {"tier": ""}, False),
        ({"matchExpressions": [expression("Gt", "1")]}, {"tier": "2"}, False),
        ({**WEB, "matchExpressions": [expression("Exists")]}, {"app": "web"}, False),
    ],
)
def test_labels_are_selected(wanted: dict[str, Any], labels: dict[str, str], selected: bool) -> None:
    assert selector(**wanted).matches(labels) is selected


def test_a_selector_is_printed_as_a_query() -> None:
    expressions = [
        expression("NotIn", "b", "a"),
        {"key": "gone", "operator": "DoesNotExist"},
        {"key": "here", "operator": "Exists"},
    ]
    printed = str(selector(matchLabels={"zone": "1", "app": "web"}, matchExpressions=expressions))
    assert printed == "app=web,!gone,here,tier notin (a,b),zone=1"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "spec.selector"),
        ({"matchLabels": {"not a key": "x"}}, "spec.selector.matchLabels"),
        ({"matchLabels": {"app": "no value!"}}, "spec.selector.matchLabels.app"),
        ({"matchExpressions": [expression("Gt", "1")]}, "spec.selector.matchExpressions[0].operator"),
        ({"matchExpressions": [expression("In")]}, "spec.selector.matchExpressions[0].values"),
        ({"matchExpressions": [expression("Exists", "a")]}, "spec.selector.matchExpressions[0].values"),
        ({"matchExpressions": [expression("In", "a b")]}, "spec.selector.matchExpressions[0].values[0]"),
    ],
)
def test_a_selector_is_refused_by_field(wanted: dict[str, Any], field: str) -> None:
    assert [refusal.field for refusal in selector_refusals(selector(**wanted), "selector")] == [field]


def test_a_usual_selector_is_not_refused() -> None:
    body = {"matchLabels": {"kubevirt.io/app": "web"}, "matchExpressions": [expression("In", "a", "")]}
    assert list(selector_refusals(selector(**body), "selector")) == []

"""Limits of launcher pods that a namespace's quotas and ranges require."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_controller.pod.limits import LimitRange, NamespaceRules, Quota, required_limits, with_limits
from virt_controller.vmi.actions import CreatePod

from tests.unit.controller.planning import EMULATION, NOW, PLANNER, SPEC, observed, vmi

MI = 1 << 20
REQUIREMENTS: dict[str, Any] = {"requests": {"cpu": "100m", "memory": str(300 * MI)}, "limits": {}}
QUOTA = {"hard": {"requests.memory": "2Gi", "limits.memory": "2Gi"}}
BOTH = {"hard": {"limits.memory": "2Gi", "limits.cpu": "8"}}


def rules(*quotas: dict[str, Any], ranges: tuple[dict[str, Any], ...] = (), **labels: str) -> NamespaceRules:
    return NamespaceRules(
        tuple(msgspec.convert({"spec": spec}, Quota) for spec in quotas),
        tuple(msgspec.convert({"spec": {"limits": [item]}}, LimitRange) for item in ranges),
        labels,
    )


def limited(
    found: NamespaceRules, requirements: dict[str, Any] = REQUIREMENTS, priority: str = "", beside: Any = ()
) -> Any:
    limits = required_limits(found, priority)
    return with_limits(requirements, 2, limits, beside)["limits"] if limits is not None else None


def test_no_limits_without_a_quota_that_counts_limits() -> None:
    assert limited(rules()) is None
    assert limited(rules({"hard": {"pods": "3", "requests.cpu": "1"}})) is None


def test_memory_gets_twice_its_request_and_cpu_one_for_each_vcpu() -> None:
    assert limited(rules(QUOTA)) == {"memory": str(600 * MI)}
    assert limited(rules(BOTH)) == {"memory": str(600 * MI), "cpu": "2000m"}


def test_a_user_s_own_limits_stay() -> None:
    own = {**REQUIREMENTS, "limits": {"memory": "400Mi"}}
    assert limited(rules(BOTH), own) == {"memory": "400Mi", "cpu": "2000m"}


@pytest.mark.parametrize(("ratio", "limit"), [("1.5", 450), ("0.5", 600), ("much", 600), ("inf", 600), ("1", 300)])
def test_the_namespace_s_label_changes_the_ratio(ratio: str, limit: int) -> None:
    label = {"alpha.kubevirt.io/auto-memory-limits-ratio": ratio}
    assert limited(rules(QUOTA, **label)) == {"memory": str(limit * MI)}


@pytest.mark.parametrize(
    ("scopes", "counts"),
    [
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, True),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, True),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}, False),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["low"]}]
                }
            },
            False,
        ),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            True,
        ),
        ({"scopes": ["FromAnotherRelease"]}, True),
    ],
)
def test_only_quotas_whose_scope_has_launcher_pods_count(scopes: dict[str, Any], counts: bool) -> None:
    assert (limited(rules({**QUOTA, **scopes}), priority="high") is not None) == counts


def test_limits_stay_within_a_limit_range_but_never_below_the_request() -> None:
    at_most = {"type": "Container", "max": {"memory": "500Mi"}}
    assert limited(rules(QUOTA, ranges=(at_most,))) == {"memory": str(500 * MI)}
    ratio = {"type": "Container", "maxLimitRequestRatio": {"memory": "1.2", "cpu": "4"}}
    assert limited(rules(QUOTA, ranges=(ratio,))) == {"memory": str(360 * MI), "cpu": "400m"}
    too_small = {"type": "Container", "max": {"memory": "100Mi"}}
    assert limited(rules(QUOTA, ranges=(too_small,))) == {"memory": str(300 * MI)}


def test_the_most_of_a_pod_is_shared_with_its_sidecars() -> None:
    whole = {"type": "Pod", "max": {"memory": "500Mi"}}
    sidecar = {"limits": {"cpu": "100m", "memory": "40Mi"}}
    assert limited(rules(QUOTA, ranges=(whole,)), beside=[sidecar, sidecar]) == {"memory": str(420 * MI)}


def test_a_range_s_default_below_the_request_is_not_left_to_apply() -> None:
    assert limited(rules(ranges=({"type": "Container", "default": {"memory": "64Mi"}},))) == {"memory": str(600 * MI)}
    assert limited(rules(ranges=({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},))) is None


def test_the_pod_has_the_limits_that_its_namespace_asks_for() -> None:
    create, _ = PLANNER.plan(observed(vmi(spec=SPEC), (), EMULATION, NOW, rules=rules(BOTH)))
    assert isinstance(create, CreatePod)
    resources = create.manifest["spec"]["containers"][0]["resources"]
    assert int(resources["limits"]["memory"]) == 2 * int(resources["requests"]["memory"])
    assert resources["limits"]["cpu"] == "1000m"

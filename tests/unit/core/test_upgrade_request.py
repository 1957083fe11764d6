"""What an administrator's request changes in the KubeVirt object, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from virt_core.objects.upgrade_request import (
    BadArgument,
    Change,
    Impossible,
    finalize,
    pause,
    resume,
    rollback,
    upgrade,
)
from virt_core.objects.upgrade_steps import BACKWARD, DONE, FORWARD, NOW, TO_COME, components_after, steps_of

R = "registry.example/suite"
STOPPED = {"version": "v3", "operation": "Update"}


def kubevirt(
    installed: str = "v2", target: str = "", spec: dict[str, Any] | None = None, **state: Any
) -> dict[str, Any]:
    """A suite that `installed` is of; `state` is its status.upgrade."""
    status = {
        "observedKubeVirtVersion": installed,
        "observedKubeVirtRegistry": R,
        "targetKubeVirtVersion": target or installed,
        "targetKubeVirtRegistry": R,
        "upgrade": state or None,
    }
    return {"metadata": {}, "spec": spec or {}, "status": status}


SINCE = "2026-01-31T10:00:00Z"
SOAKING = kubevirt(wayBack={"version": "v1", "registry": R, "since": SINCE})
UPDATING = kubevirt(target="v3", operation="Update", step="virt-handler")
GOING_BACK = kubevirt(target="v1", operation="Rollback", step="virt-api", wayBack={"version": "v1", "registry": R})
FAILED = kubevirt(target="v3", operation="Stopped", stopped=STOPPED)
RETURNING = kubevirt(target="v3", operation="Rollback", stopped=STOPPED)
SETTINGS = kubevirt(operation="Update", step="virt-api")
DELETED = {**kubevirt(), "metadata": {"deletionTimestamp": "2026-01-31T10:00:00Z"}}


def to(tag: str, registry: str = "") -> Callable[[dict[str, Any]], Change]:
    return lambda body: upgrade(body, tag, registry, "now")


def image(tag: str) -> dict[str, Any]:
    return {"spec": {"imageTag": tag, "imageRegistry": R}}


def annotation(name: str, value: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {f"kubevirt.io/{name}": value}}}


@pytest.mark.parametrize(
    ("request_of", "body", "patch", "version"),
    [
        (to("v3"), kubevirt(), image("v3"), "v3"),
        (to("v3", "other/x"), kubevirt(), {"spec": {"imageTag": "v3", "imageRegistry": "other/x"}}, "v3"),
        (to("v2", "other/x"), kubevirt(), {"spec": {"imageTag": "v2", "imageRegistry": "other/x"}}, "v2"),
        (to("v2"), UPDATING, image("v2"), "v2"),
        (to("v3"), FAILED, annotation("retry-upgrade", "now"), "v3"),
        (to("v4"), FAILED, image("v4"), "v4"),
        (rollback, SOAKING, image("v1"), "v1"),
        (rollback, kubevirt(wayBack={"version": "v1"}), image("v1"), "v1"),
        (rollback, UPDATING, image("v2"), "v2"),
        (rollback, FAILED, image("v2"), "v2"),
        (rollback, kubevirt(spec={"imageTag": "v3"}), image("v2"), "v2"),
        (finalize, SOAKING, annotation("finalize-upgrade", f"v2@{SINCE}"), "v2"),
        (finalize, kubevirt(wayBack={"version": "v1"}), annotation("finalize-upgrade", "v2"), "v2"),
        (pause, kubevirt(), {"spec": {"upgradeStrategy": {"paused": True}}}, ""),
        (
            resume,
            kubevirt(spec={"upgradeStrategy": {"paused": True}}),
            {"spec": {"upgradeStrategy": {"paused": False}}},
            "",
        ),
        (resume, kubevirt(), {}, ""),
    ],
)
def test_a_request_is_a_change_of_the_kubevirt_object(
    request_of: Callable[[dict[str, Any]], Change], body: dict[str, Any], patch: dict[str, Any], version: str
) -> None:
    change = request_of(body)
    assert (change.patch, change.version) == (patch, version)
    assert change.message


@pytest.mark.parametrize(
    ("request_of", "body", "sentence"),
    [
        (to("v2"), kubevirt(), "v2 is installed already"),
        (to("v2"), FAILED, "v2 is installed already; to give up the change to v3 that has stopped, roll back"),
        (to("v3"), UPDATING, "an update to v3 is in progress (step virt-handler)"),
        (to("v4"), UPDATING, "an update to v3 is in progress (step virt-handler): wait until it is done, or roll back"),
        (to("v3"), RETURNING, "the update to v3 has stopped and goes back by itself"),
        (to("v3"), DELETED, "the KubeVirt object is deleted"),
        (to("v3"), kubevirt(""), "nothing is installed yet"),
        (rollback, kubevirt(), "there is nothing to go back to: v2 is finalized"),
        (rollback, kubevirt(wayBack={"version": "v2", "registry": R}), "there is nothing to go back to"),
        (rollback, GOING_BACK, "a rollback to v1 is in progress (step virt-api); to stay at v2, upgrade to v2"),
        (rollback, RETURNING, "goes back by itself"),
        (rollback, SETTINGS, "only settings of v2 change, not its release"),
        (finalize, UPDATING, "an update to v3 is in progress (step virt-handler): only what is installed"),
        (finalize, FAILED, "the change to v3 has stopped: roll back to stay at v2, or try it again"),
        (finalize, kubevirt(), "v2 is finalized already"),
        (pause, kubevirt(""), "nothing is installed yet"),
        (resume, DELETED, "the suite is being removed"),
    ],
)
def test_what_the_state_does_not_allow_is_refused_with_a_sentence(
    request_of: Callable[[dict[str, Any]], Change], body: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Impossible) as refused:
        request_of(body)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("tag", "registry", "field", "words"),
    [
        ("", "", "tag", "1 to 128 letters, digits"),
        ("a b", "", "tag", "1 to 128 letters, digits"),
        ("v3", "https://r", "registry", "host[:port][/path]"),
    ],
)
def test_a_malformed_argument_is_named_with_what_is_allowed(tag: str, registry: str, field: str, words: str) -> None:
    with pytest.raises(BadArgument) as refused:
        upgrade(kubevirt(), tag, registry, "now")
    assert refused.value.field == field and words in str(refused.value)


def test_a_paused_suite_says_so_when_something_is_requested() -> None:
    paused = kubevirt(spec={"upgradeStrategy": {"paused": True}}, wayBack={"version": "v1"})
    assert upgrade(paused, "v3", "", "now").message.endswith("; it is paused: resume it")
    assert rollback(paused).message.endswith("; it is paused: resume it")


@pytest.mark.parametrize("status", [None, 5, {"upgrade": "soon", "observedKubeVirtVersion": 1}])
def test_a_status_of_another_shape_is_refused_and_no_defect(status: Any) -> None:
    for request_of in (to("v3"), rollback, finalize, pause, resume):
        with pytest.raises(Impossible):
            request_of({"metadata": {}, "spec": None, "status": status})


@pytest.mark.parametrize("wayback", [5, {"version": 7}, {"release": "1.0"}, {}])
def test_a_way_back_of_another_shape_is_none(wayback: Any) -> None:
    with pytest.raises(Impossible):
        rollback(kubevirt(wayBack=wayback))


def test_steps_before_the_current_one_are_done_and_later_ones_to_come() -> None:
    steps = dict(steps_of("Update", "virt-handler"))
    assert [name for name, state in steps.items() if state == DONE] == list(FORWARD[: FORWARD.index("virt-handler")])
    assert steps["virt-handler"] == NOW and steps["Cleanup"] == TO_COME
    assert [name for name, _ in steps_of("Rollback", "")] == list(BACKWARD)
    assert steps_of("Update", "Unheard")[0] == ("Unheard", NOW)
    assert "Operator" not in dict(steps_of("Install", "Finalizer"))
    assert steps_of("Removal", "x") == []


@pytest.mark.parametrize(
    ("component", "forward", "backward"),
    [
        ("virt-handler", ["virt-controller", "virt-api"], []),
        ("virt-controller", ["virt-api"], ["virt-handler"]),
        ("virt-api", [], ["virt-controller", "virt-handler"]),
        ("virt-next", [], []),
    ],
)
def test_components_follow_each_other_as_the_steps_do(component: str, forward: list[str], backward: list[str]) -> None:
    assert list(components_after(component, backward=False)) == forward
    assert list(components_after(component, backward=True)) == backward


def test_a_patch_is_for_one_object_and_keeps_what_it_changes() -> None:
    found = {**kubevirt(), "metadata": {"name": "kubevirt", "uid": "u1"}}
    annotated = Change({"metadata": {"annotations": {"a": "b"}}}, "").patch_of(found)
    assert annotated == {"metadata": {"annotations": {"a": "b"}, "uid": "u1"}}
    spec = {"spec": {"imageTag": "v3"}}
    assert Change(spec, "").patch_of(found) == {**spec, "metadata": {"uid": "u1"}}

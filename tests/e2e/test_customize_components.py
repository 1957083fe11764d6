"""`spec.customizeComponents` on a running suite: patches of three types, a flag, what is refused, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.e2e.builds import condition, suite
from tests.e2e.cluster import NAMESPACE, condition_of, get, kubectl, processes, until
from tests.e2e.removal import refusal
from tests.support.patience import PATIENCE

WITHIN = 2 * PATIENCE
IDENTIFIER = "kubevirt.io/customizer-identifier"
DNS = {"spec": {"template": {"spec": {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}}}}
CPU = {"spec": {"template": {"spec": {"containers": [{"name": "virt-api", "resources": {"requests": {"cpu": "7m"}}}]}}}}
NOTE = [{"op": "add", "path": "/metadata/annotations/example.com~1note", "value": "ours"}]
NOWHERE = [{"op": "replace", "path": "/spec/nowhere", "value": 1}]


def patch(kind: str, name: str, content: Any, type_: str) -> dict[str, str]:
    return {"resourceType": kind, "resourceName": name, "patch": json.dumps(content), "type": type_}


PATCHES = [
    patch("Deployment", "virt-controller", DNS, "merge"),
    patch("Deployment", "virt-api", CPU, "strategic"),
    patch("Service", "virt-api", NOTE, "json"),
]
BAD = patch("Deployment", "virt-api", NOWHERE, "json")


def request(customization: Any) -> tuple[str, ...]:
    """Arguments of kubectl that set spec.customizeComponents; None removes it."""
    body = json.dumps({"spec": {"customizeComponents": customization}})
    return ("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", body)


def live(kind: str, name: str) -> Any:
    return get("-n", NAMESPACE, kind, name)


def pod_spec(deployment: str) -> Any:
    return live("deployment", deployment)["spec"]["template"]["spec"]


def is_settled() -> bool:
    """The KubeVirt object says so, and so do the workloads."""
    found = suite()["status"]["conditions"]
    states = {one["type"]: one["status"] for one in found}
    ready = [live("deployment", name)["status"] for name in ("virt-api", "virt-controller")]
    rolled = all(one.get("updatedReplicas") == one.get("availableReplicas") == one["replicas"] for one in ready)
    return (states["Available"], states["Degraded"], "Synchronized" in states, rolled) == ("True", "False", False, True)


def settled(what: Callable[[], bool], description: str) -> float:
    return until(lambda: what() and is_settled(), description, WITHIN, every=0.5)


@pytest.fixture(autouse=True)
def as_released() -> Iterator[None]:
    """No customization afterwards."""
    yield
    kubectl(*request(None))
    settled(lambda: not is_customized(), "the suite to be as released")


def is_customized() -> bool:
    objects = (live("deployment", "virt-controller"), live("deployment", "virt-api"), live("service", "virt-api"))
    return any(IDENTIFIER in body["metadata"]["annotations"] for body in objects)


def carries_all() -> bool:
    controller, api = pod_spec("virt-controller"), pod_spec("virt-api")["containers"][0]
    return (
        controller.get("dnsConfig") == {"options": [{"name": "ndots", "value": "2"}]}
        and api["resources"]["requests"]["cpu"] == "7m"
        and "memory" in api["resources"]["requests"]
        and controller["containers"][0].get("args", [])[-2:] == ["--v", "4"]
        and live("service", "virt-api")["metadata"]["annotations"].get("example.com/note") == "ours"
    )


def test_patches_of_three_types_and_a_flag_are_carried_out_kept_and_taken_back() -> None:
    kubectl(*request({"patches": PATCHES, "flags": {"controller": {"v": "4"}}}))
    print(f"customized in {settled(carries_all, 'the customization'):.1f} s")
    back = [{"op": "replace", "path": "/spec/template/spec/dnsConfig/options/0/value", "value": "5"}]
    kubectl("-n", NAMESPACE, "patch", "deployment", "virt-controller", "--type=json", "-p", json.dumps(back))
    print(f"an edit of a customized field was undone in {settled(carries_all, 'the repair'):.1f} s")
    kubectl(*request(None))
    print(f"taken back in {settled(lambda: not is_customized(), 'the end of it'):.1f} s")
    assert "dnsConfig" not in pod_spec("virt-controller")
    assert "example.com/note" not in live("service", "virt-api")["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("customization", "words"),
    [
        ({"patches": [BAD]}, ["spec.customizeComponents.patches[0]", "Deployment", "virt-api"]),
        (
            {"patches": [patch("Deployment", "virt-nobody", DNS, "merge")]},
            ["spec.customizeComponents.patches[0]", "virt-nobody", "is not one of"],
        ),
        ({"flags": {"api": {"quiet": "yes"}}}, ["spec.customizeComponents.flags.api", "quiet"]),
    ],
    ids=["does not apply", "no such object", "no such flag"],
)
def test_what_does_not_apply_is_refused_by_field(customization: Any, words: list[str]) -> None:
    message = refusal(*request(customization))
    assert all(word in message for word in words), message


@contextmanager
def unguarded() -> Iterator[None]:
    """The operator's webhook is not registered: as if the patch had been stored under an operator that accepted it."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-operator")["items"]
    victims = [process.pid for pod in pods for process in processes(pod["metadata"]["uid"])]
    assert victims
    for victim in victims:
        os.kill(victim, signal.SIGSTOP)
    try:
        kubectl("delete", "validatingwebhookconfiguration", "virt-operator-validator")
        yield
    finally:
        for victim in victims:
            with suppress(ProcessLookupError):  # the kubelet has killed it
                os.kill(victim, signal.SIGCONT)


def test_a_stored_patch_that_does_not_apply_is_named_and_the_suite_stays_as_it_is() -> None:
    before = pod_spec("virt-api")
    began = time.monotonic()
    with unguarded():  # as soon as the API server has forgotten the webhook
        until(
            lambda: "patched" in kubectl(*request({"patches": [BAD]}), check=False), "the patch to be stored", every=0.5
        )
    until(lambda: condition("Synchronized").get("status") == "False", "the refusal to be reported")
    message = condition("Synchronized")["message"]
    print(f"reported after {time.monotonic() - began:.1f} s: {message}")
    assert "spec.customizeComponents.patches[0]" in message and "virt-api" in message
    assert condition_of(suite(), "Available")["status"] == "True"
    assert pod_spec("virt-api") == before

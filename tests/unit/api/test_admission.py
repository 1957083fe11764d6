"""Responses to AdmissionReviews for VirtualMachineInstances."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest
from virt_api.admission.review import Circumstances, read
from virt_api.admission.vmi import DECISIONS
from virt_core.conventions import accounts
from virt_core.conventions.webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE
from virt_core.objects.admission_review import BadReview
from virt_core.objects.kubevirt import Configuration

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
PENDING = {
    "phase": "Pending",
    "phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": "2026-01-31T10:00:00Z"}],
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "GuestNotRunning",
            "message": "the guest is not running yet",
            "lastTransitionTime": "2026-01-31T10:00:00Z",
        }
    ],
}
OWN = accounts.machine_writers("kubevirt")
CONTROLLER = "system:serviceaccount:kubevirt:kubevirt-controller"
HANDLER = "system:serviceaccount:kubevirt:kubevirt-handler"
SPEC = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}


def review(operation: str, new: Any = None, old: Any = None, user: str = "bob") -> bytes:
    request: dict[str, Any] = {"uid": "r1", "operation": operation, "name": "vm"}
    request |= {"object": new, "oldObject": old, "userInfo": {"username": user}}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def decided(path: str, operation: str, new: Any, old: Any = None, *, user: str = "bob") -> Any:
    body = DECISIONS[path](read(review(operation, new, old, user)), Circumstances(Configuration(), OWN, NOW))
    assert (body["apiVersion"], body["kind"], body["response"]["uid"]) == (
        "admission.k8s.io/v1",
        "AdmissionReview",
        "r1",
    )
    return body["response"]


def vmi(spec: Any = SPEC, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "vm", "namespace": "default"}, "spec": spec, **more}


def test_a_new_object_gets_its_defaults_by_a_json_patch() -> None:
    response = decided(MUTATE, "CREATE", vmi())
    assert response["allowed"] and response["patchType"] == "JSONPatch" and "warnings" not in response
    defaults, status = json.loads(b64decode(response["patch"]))
    assert (defaults["op"], defaults["path"]) == ("add", "/spec")
    assert defaults["value"]["domain"]["machine"] == {"type": "q35"}
    assert status == {"op": "add", "path": "/status", "value": PENDING}


def test_a_status_in_a_new_object_is_dropped_with_a_warning() -> None:
    response = decided(MUTATE, "CREATE", vmi(status={"phase": "Running"}))
    removed, *_, added = json.loads(b64decode(response["patch"]))
    assert (removed, added["value"]) == ({"op": "remove", "path": "/status"}, PENDING)
    assert response["warnings"] == ["status: is written by KubeVirt itself, the status in this manifest is dropped"]


def test_zero_values_that_a_go_client_sends_as_status_give_no_warning() -> None:
    sent = {"status": {"guestOSInfo": {}, "runtimeUser": 0, "conditions": None, "phase": ""}}
    response = decided(MUTATE, "CREATE", vmi(**sent))
    assert "warnings" not in response


def test_an_object_that_will_be_refused_passes_the_defaults_unchanged() -> None:
    response = decided(MUTATE, "CREATE", vmi({"nonsense": 1}))
    (operation,) = json.loads(b64decode(response["patch"]))
    assert response["allowed"] and operation["path"] == "/status"


def test_what_is_not_supported_is_denied_with_a_cause_for_each_field() -> None:
    spec = {"domain": {"memory": {"guest": "64Mi"}, "devices": {"usbs": []}, "nonsense": 1}}
    response = decided(VALIDATE_CREATE, "CREATE", vmi(spec))
    status = response["status"]
    assert (response["allowed"], status["code"], status["reason"]) == (False, 422, "Invalid")
    assert (status["details"]["kind"], status["details"]["name"]) == ("VirtualMachineInstance", "vm")
    fields = [cause["field"] for cause in status["details"]["causes"]]
    assert sorted(fields) == ["spec.domain.devices.usbs", "spec.domain.nonsense"]
    assert all(f"{cause['field']}: {cause['message']}" in status["message"] for cause in status["details"]["causes"])


def test_an_answer_does_not_become_a_book() -> None:
    spec = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}, **{f"unknown{number}": 1 for number in range(500)}}
    response = decided(VALIDATE_CREATE, "CREATE", vmi(spec))
    assert len(response["status"]["details"]["causes"]) == 64
    assert response["status"]["message"].endswith("and 436 more")


def test_the_defaults_are_admitted() -> None:
    defaults, _ = json.loads(b64decode(decided(MUTATE, "CREATE", vmi())["patch"]))
    assert decided(VALIDATE_CREATE, "CREATE", vmi(defaults["value"])) == {"uid": "r1", "allowed": True}


def test_a_spec_is_not_changed_and_a_status_only_by_the_suite() -> None:
    other = {"domain": {"memory": {"guest": "128Mi"}, "devices": {}}}
    for new, field in ((vmi(other), "spec.domain.memory.guest"), (vmi(status={"phase": "Failed"}), "status")):
        response = decided(VALIDATE_UPDATE, "UPDATE", new, vmi())
        assert [cause["field"] for cause in response["status"]["details"]["causes"]] == [field]
        assert decided(VALIDATE_UPDATE, "UPDATE", new, vmi(), user=HANDLER)["allowed"] is (field == "status")
    live = vmi({**SPEC, "nodeSelector": {"a": "b"}})
    assert decided(VALIDATE_UPDATE, "UPDATE", live, vmi(), user=CONTROLLER)["allowed"]
    somebody = "system:serviceaccount:other:kubevirt-handler"
    assert not decided(VALIDATE_UPDATE, "UPDATE", vmi(other), vmi(), user=somebody)["allowed"]
    labelled = vmi() | {"metadata": {"name": "vm", "namespace": "default", "labels": {"team": "a"}}}
    assert decided(VALIDATE_UPDATE, "UPDATE", labelled, vmi())["allowed"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        review("CREATE", vmi()).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v2"),
        review("CREATE", "no object"),
    ],
    ids=["empty", "no request", "deep", "another version", "no object"],
)
def test_an_invalid_review_is_refused_with_the_reason(body: bytes) -> None:
    with pytest.raises(BadReview):
        read(body)


@pytest.mark.parametrize("path", DECISIONS)
@pytest.mark.parametrize("new", [None, {}, {"spec": None}, {"metadata": None, "spec": []}, vmi("text")])
def test_no_object_is_too_odd_for_an_answer(path: str, new: Any) -> None:
    decided(path, "UPDATE", new, new)

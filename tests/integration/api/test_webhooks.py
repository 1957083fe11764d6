"""Reviews as kube-apiserver sends them: over HTTPS, without a certificate."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from virt_core.conventions.webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE
from virt_core.kube.resource import KUBEVIRTS

from tests.support.patience import PATIENCE

SPEC = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
VMI = {"metadata": {"name": "vm", "namespace": "default"}, "spec": SPEC}


async def ask(virt_api: Any, path: str, **request: Any) -> tuple[int, Any, str]:
    """Status, document and what becomes of the connection."""
    body = {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "r1", "operation": "CREATE", **request}}
    url = f"{virt_api.url}{path}?timeout=10s"
    async with virt_api.session.post(url, json=body, ssl=virt_api.tls(None)) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers.get("Connection", "")


async def test_a_review_needs_no_certificate_and_ends_its_connection(virt_api: Any) -> None:
    code, document, connection = await ask(virt_api, MUTATE, object=VMI)
    assert (code, document["response"]["patchType"], connection) == (200, "JSONPatch", "close")
    code, document, _ = await ask(virt_api, VALIDATE_CREATE, object=VMI)
    assert (code, document["response"]) == (200, {"uid": "r1", "allowed": True})
    other = {**VMI, "status": {"phase": "Running"}}
    code, document, _ = await ask(virt_api, VALIDATE_UPDATE, object=other, oldObject=VMI)
    assert (code, document["response"]["allowed"]) == (200, False)
    denied = await virt_api.logged("denying")
    assert "status" in denied["reason"]


async def test_the_rules_follow_the_clusters_configuration(virt_api: Any) -> None:
    spec = {"domain": {**SPEC["domain"], "machine": {"type": "pc-q35-7.2"}}}
    vmi = {**VMI, "spec": spec}
    _, document, _ = await ask(virt_api, VALIDATE_CREATE, object=vmi)
    assert document["response"]["allowed"]
    narrow = {"spec": {"configuration": {"emulatedMachines": ["pc-q35-9*"]}}}
    virt_api.kube.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), narrow)
    async with asyncio.timeout(PATIENCE):
        while document["response"]["allowed"]:  # the watch brings it within milliseconds
            _, document, _ = await ask(virt_api, VALIDATE_CREATE, object=vmi)
    assert "pc-q35-9*" in document["response"]["status"]["message"]


async def test_what_is_no_review_is_a_bad_request(virt_api: Any) -> None:
    code, status, _ = await ask(virt_api, MUTATE, object="text")
    assert (code, status["kind"]) == (400, "Status")
    async with virt_api.session.get(virt_api.url + MUTATE, ssl=virt_api.tls(None)) as answer:
        assert answer.status == 401  # only POST is a review; anything else is for those whom the front proxy names


async def test_reviews_are_answered_while_the_replica_drains(virt_api: Any) -> None:
    virt_api.process.send_signal(signal.SIGTERM)
    await virt_api.logged("draining")
    code, _, _ = await ask(virt_api, VALIDATE_CREATE, object=VMI)
    assert code == 200
    assert await virt_api.process.wait() == 0


async def test_nothing_is_admitted_by_defaults_while_there_is_no_kubevirt_object(virt_api: Any) -> None:
    virt_api.kube.remove(KUBEVIRTS.path("kubevirt", "kubevirt"))
    while True:
        code, document, _ = await ask(virt_api, VALIDATE_CREATE, object=VMI)
        if code != 200:
            break
    assert (code, document["reason"]) == (503, "ServiceUnavailable")
    assert "there is no KubeVirt object in namespace kubevirt" in document["message"]

"""The webhook for KubeVirt objects, called over HTTPS like by the API server."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from virt_core.conventions.component_pod import HEALTH_PATH
from virt_core.kube.client import KubeClient
from virt_core.rpc.tls import write_files
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.settings import Settings
from virt_operator.webhook.configuration import PATH
from virt_operator.webhook.server import WebhookServer

from tests.support.patience import PATIENCE
from tests.unit.operator.suites import OPERATOR

KUBEVIRTS = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
BLOCK = {"uninstallStrategy": "BlockUninstallIfWorkloadsExist"}


@dataclass
class Webhook:
    """A server that runs, and how the API server would talk to it."""

    server: WebhookServer
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    stopping: asyncio.Event
    cluster: FakeApiServer

    @property
    def origin(self) -> str:
        """A free port was taken, another one for each family of addresses."""
        return next(f"https://127.0.0.1:{port}" for host, port in self.server.addresses if "." in host)

    async def post(self, body: Any) -> tuple[int, bytes, dict[str, str]]:
        url = f"{self.origin}{PATH}?timeout=10s"
        data = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
        kwargs: dict[str, Any] = {"ssl": self.tls, "server_hostname": "virt-operator.kubevirt.svc"}
        async with self.session.post(url, data=data, **kwargs) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def healthy(self) -> bool:
        url = f"{self.origin}{HEALTH_PATH}"
        async with self.session.get(url, ssl=self.tls, server_hostname="virt-operator.kubevirt.svc") as answer:
            return answer.status == 200

    async def ask(self, operation: str, new: Any = None, old: Any = None) -> str | None:
        """None if it is allowed, else the message."""
        request = {"uid": "u1", "operation": operation, "object": new, "oldObject": old, "dryRun": False, "kind": {}}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request, "later": [1]}
        status, body, _ = await self.post(review)
        assert status == 200, body
        answer = json.loads(body)
        response = answer["response"]
        assert (answer["apiVersion"], answer["kind"], response["uid"]) == (
            "admission.k8s.io/v1",
            "AdmissionReview",
            "u1",
        )
        if response["allowed"]:
            return None
        assert response["status"]["code"] in (403, 422, 503) and response["status"]["reason"]
        return str(response["status"]["message"])


@pytest.fixture
async def webhook(client: KubeClient, server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Webhook]:
    now = datetime.now(UTC)
    authority = new_authority(now)
    pair = new_leaf(authority, "kubevirt.io:system:virt-operator", ("virt-operator.kubevirt.svc",), now)
    write_files(tmp_path, {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.bundle})
    settings: Settings = replace(OPERATOR, certificates=tmp_path, https_port=0, drain=10.0)
    served = WebhookServer(client, settings)
    certified, stopping = asyncio.Event(), asyncio.Event()
    certified.set()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        serving = group.create_task(served.run(certified, stopping))
        await served.serving.wait()
        tls = ssl.create_default_context(cadata=authority.bundle.decode())
        yield Webhook(served, session, tls, stopping, server)
        serving.cancel()


def kubevirt(spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    metadata = {"name": "kubevirt", "namespace": "kubevirt", **meta}
    return {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": metadata, "spec": spec or {}}


def vmi(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}}


async def test_the_first_object_is_allowed_and_the_refusal_of_the_second_names_it(webhook: Webhook) -> None:
    assert await webhook.ask("CREATE", kubevirt()) is None
    webhook.cluster.put(KUBEVIRTS, kubevirt())
    assert "KubeVirt object kubevirt/kubevirt is there; " in str(await webhook.ask("CREATE", kubevirt(name="other")))


async def test_another_namespace_than_the_operators_is_refused(webhook: Webhook) -> None:
    message = str(await webhook.ask("CREATE", kubevirt(namespace="elsewhere")))
    assert "metadata.namespace" in message and "'elsewhere'" in message and "'kubevirt'" in message


def customizing(kind: str, name: str, patch: str) -> dict[str, Any]:
    entry = {"resourceType": kind, "resourceName": name, "patch": patch, "type": "strategic"}
    return {"customizeComponents": {"patches": [entry]}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"infra": {"nodePlacement": {"nodeName": "a"}}, "productName": "x"}, ["spec.productName"]),
        ({"uninstallStrategy": "Never"}, ["spec.uninstallStrategy", "'Never'", "RemoveWorkloads", "BlockUninstallIf"]),
        ({"imagePullPolicy": "Sometimes"}, ["spec.imagePullPolicy", "'Sometimes'", "IfNotPresent"]),
        ({"imageTag": "a b"}, ["spec.imageTag", "'a b'"]),
        (customizing("Deployment", "virt-api", "{"), ["spec.customizeComponents.patches[0].patch", "is not JSON"]),
        (customizing("Deployment", "virt-x", "{}"), ["spec.customizeComponents.patches[0]", "'Deployment virt-x'"]),
        ({"customizeComponents": {"flags": {"api": {"port": "1"}}}}, ["spec.customizeComponents.flags.api", "'port'"]),
    ],
)
async def test_a_spec_that_cannot_be_installed_is_refused_by_field(
    webhook: Webhook, spec: dict[str, Any], words: list[str]
) -> None:
    for operation, old in (("CREATE", None), ("UPDATE", kubevirt())):
        message = await webhook.ask(operation, kubevirt(spec), old)
        assert message is not None and all(word in message for word in words), message


async def test_patches_of_another_release_are_judged_when_its_objects_are_known(webhook: Webhook) -> None:
    spec = {**customizing("Deployment", "virt-later", "{}"), "imageTag": "v9.9.9"}
    assert await webhook.ask("UPDATE", kubevirt(spec), kubevirt()) is None


async def test_what_is_stored_can_be_labelled_repaired_and_let_go(webhook: Webhook) -> None:
    stored = kubevirt({"productName": "x"})
    labelled = kubevirt({"productName": "x"}, labels={"a": "b"})
    deleting = kubevirt({"productName": "y"}, deletionTimestamp="2026-01-31T10:00:00Z")
    assert await webhook.ask("UPDATE", labelled, stored) is None
    assert await webhook.ask("UPDATE", kubevirt(), stored) is None
    assert await webhook.ask("UPDATE", deleting, stored) is None
    assert await webhook.ask("DELETE", None, stored) is None


async def test_deletion_is_refused_while_workloads_exist_if_the_strategy_blocks_it(webhook: Webhook) -> None:
    assert await webhook.ask("DELETE", None, kubevirt(BLOCK)) is None
    webhook.cluster.put(VMIS, vmi("vm1"))
    assert await webhook.ask("DELETE", None, kubevirt({"uninstallStrategy": "RemoveWorkloads"})) is None
    message = str(await webhook.ask("DELETE", None, kubevirt(BLOCK)))
    assert "VirtualMachineInstance default/vm1" in message and "BlockUninstallIfWorkloadsExist" in message


async def test_what_cannot_be_found_out_is_refused_with_the_reason(webhook: Webhook) -> None:
    await webhook.cluster.down()
    assert "repeat it later" in str(await webhook.ask("DELETE", None, kubevirt(BLOCK)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"apiVersion":"admission.k8s.io/v1"}', b'{"apiVersion":"admission.k8s.io/v9","request":{}}'],
)
async def test_what_is_no_review_is_a_bad_request(webhook: Webhook, body: bytes) -> None:
    assert (await webhook.post(body))[0] == 400


async def test_a_review_larger_than_two_objects_is_not_read(webhook: Webhook) -> None:
    with suppress(aiohttp.ClientConnectionError):  # it may close while we still send
        assert (await webhook.post(io.BytesIO(b" " * (9 * 1024 * 1024))))[0] == 413
    assert await webhook.ask("CREATE", kubevirt()) is None


async def test_a_replica_that_ends_is_not_ready_first_and_answers_a_little_longer(webhook: Webhook) -> None:
    assert await webhook.healthy()
    webhook.stopping.set()
    assert not await webhook.healthy()
    status, _, headers = await webhook.post(b"{")
    assert (status, headers["Connection"]) == (400, "close")
    assert await webhook.ask("CREATE", kubevirt()) is None

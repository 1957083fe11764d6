"""A handler's process from its first probe to readiness, with the operator's signatures and a fake API server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from virt_core.conventions.certificate_files import KEY, LEAF
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CERTIFICATE_SIGNING_REQUESTS
from virt_core.objects.meta import ObjectMeta
from virt_core.rpc.tls import write_files
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_handler import start
from virt_handler.certificates import apart, first_request
from virt_handler.certificates.question import Answer, Wanted
from virt_handler.settings import Settings
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority
from virt_operator.certificates.node_signing import NodeSigning
from virt_operator.certificates.rollover import Authority

from tests.support.patience import PATIENCE
from tests.support.probes import INSECURE, METRICS, ask, free_port

NAMESPACE, NAME, UID, NODE = "kubevirt", "virt-handler-x", "uid-x", "node1"
REQUESTER = {
    "username": f"system:serviceaccount:{NAMESPACE}:kubevirt-handler",
    "extra": {"authentication.kubernetes.io/pod-name": [NAME], "authentication.kubernetes.io/pod-uid": [UID]},
}


class Pod:
    """The handler's, in the operator's cache."""

    metadata = ObjectMeta(NAME, NAMESPACE, uid=UID, labels={"kubevirt.io": "virt-handler"})
    spec: dict[str, object] = {"nodeName": NODE}  # noqa: RUF012 - as a watched pod has it


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folders = [tmp_path / name for name in ("pods", "device-plugins", "own", "trust")]
    for folder in folders:
        folder.mkdir()
    return Settings(NAMESPACE, NAME, NODE, *folders, rpc_port=0, health_port=free_port(), metrics_port=free_port())


def test_the_probes_port_opens_before_the_large_imports() -> None:
    large = {"grpc", "aiohttp", "google.protobuf", "pyroute2", "cryptography", "virt_handler.app"}
    script = f"import sys, virt_handler.__main__; assert not {large!r} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE)


async def test_a_new_handler_creates_one_key_and_answers_its_first_probe_when_it_is_ready(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(place: Place, body: dict[str, Any]) -> None:
        if "username" not in body["spec"]:
            body["spec"] |= REQUESTER

    stopping = asyncio.Event()
    monkeypatch.setattr("virt_core.http._HOLD", PATIENCE)
    monkeypatch.setattr("virt_core.http._LIMIT", 2 * PATIENCE)
    async with asyncio.timeout(PATIENCE), FakeApiServer.running() as server:
        server.admit = recorded
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
        async with KubeClient.connect("virt-operator") as client, asyncio.TaskGroup() as group:
            authority = AuthorityWatch(client, NAMESPACE)
            authority.able = Authority(new_authority(datetime.now(UTC)))
            write_files(settings.trust, {"ca.crt": authority.able.signer.bundle, "issuing.json": b""})
            signing = NodeSigning(client, authority, NAMESPACE, lambda: [Pod()])
            operator = group.create_task(signing.run(), name="signing")
            handler = group.create_task(start.run(settings, stopping), name="handler")
            assert (await ask(settings.health_port)).startswith(b"HTTP/1.1 200 ")
            assert len(await client.list(CERTIFICATE_SIGNING_REQUESTS)) == 1
            answer = await ask(settings.metrics_port, METRICS, tls=INSECURE)
            assert answer.startswith(b"HTTP/1.1 200 ") and b"\nprocess_resident_memory_bytes " in answer
            stopping.set()
            await handler
            operator.cancel()


async def test_a_container_that_restarts_with_a_certificate_creates_no_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(wanted: Wanted) -> Answer:
        raise AssertionError(wanted)

    monkeypatch.setattr(apart, "ask", refuse)
    write_files(settings.certificates, {KEY: b"key", LEAF: b"leaf"})
    await first_request.prepare(settings)


async def test_a_first_request_that_fails_is_left_to_the_renewal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_MODULE", "virt_handler.no_such_module")
    await first_request.prepare(settings)
    assert list(settings.certificates.iterdir()) == []

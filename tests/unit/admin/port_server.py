"""An API server that forwards the port of virt-operator's pod, and a virt-operator behind it, with certificates."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from aiohttp import WSMsgType, web
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_admin.access import Access, connected
from virt_core.rpc.tls import Certificates

from tests.support.authorities import Authority

from .bodies import pod

_PORT = (8186).to_bytes(2, "little")
RELEASE = info_pb2.GetInfoResponse(release="0.1.0", feature_level=1, contracts=["kubevirt.info.v1"])


class Operator(admin_pb2_grpc.AdminServiceServicer):
    """Answers with two processes, or refuses."""

    def __init__(self) -> None:
        self.callers: list[bytes] = []
        self.refusal = ""
        self.plans: list[admin_pb2.PlanRequest] = []
        self.planned: list[admin_pb2.PlanResponse] = []
        """The stream that answers Plan."""
        self.requested: list[str] = []
        self.impossible = ""
        """Why nothing that is requested is possible."""
        self.shared = ["v1"]
        """The versions of a contract that virt-api and virt-handler share."""

    async def ListPeers(self, request: admin_pb2.ListPeersRequest, context: Any) -> admin_pb2.ListPeersResponse:  # noqa: N802
        self.callers += context.auth_context()["x509_common_name"]
        if self.refusal:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, self.refusal)
        peers = [
            admin_pb2.Peer(component="virt-api", pod="virt-api-0", node="node1", info=RELEASE),
            admin_pb2.Peer(component="virt-handler", pod="virt-handler-1", node="node2", problem="no answer"),
        ]
        return admin_pb2.ListPeersResponse(peers=peers)

    async def Plan(self, request: admin_pb2.PlanRequest, context: Any) -> AsyncIterator[admin_pb2.PlanResponse]:  # noqa: N802
        self.callers += context.auth_context()["x509_common_name"]
        self.plans.append(request)
        if self.refusal:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, self.refusal)
        for response in self.planned:
            yield response

    async def Upgrade(self, request: admin_pb2.UpgradeRequest, context: Any) -> admin_pb2.UpgradeResponse:  # noqa: N802
        await self._requested(f"Upgrade {request.tag} {request.registry}", context)
        return admin_pb2.UpgradeResponse(
            requested=admin_pb2.Requested(message=f"{request.tag} is requested", changed=True, version=request.tag)
        )

    async def Pause(self, request: admin_pb2.PauseRequest, context: Any) -> admin_pb2.PauseResponse:  # noqa: N802
        await self._requested("Pause", context)
        return admin_pb2.PauseResponse(requested=admin_pb2.Requested(message="paused"))

    async def Resume(self, request: admin_pb2.ResumeRequest, context: Any) -> admin_pb2.ResumeResponse:  # noqa: N802
        await self._requested("Resume", context)
        return admin_pb2.ResumeResponse(requested=admin_pb2.Requested(message="resumed"))

    async def Rollback(self, request: admin_pb2.RollbackRequest, context: Any) -> admin_pb2.RollbackResponse:  # noqa: N802
        await self._requested("Rollback", context)
        return admin_pb2.RollbackResponse(requested=admin_pb2.Requested(message="back", changed=True, version="v1"))

    async def Finalize(self, request: admin_pb2.FinalizeRequest, context: Any) -> admin_pb2.FinalizeResponse:  # noqa: N802
        await self._requested("Finalize", context)
        return admin_pb2.FinalizeResponse(requested=admin_pb2.Requested(message="final", changed=True))

    async def ListContracts(  # noqa: N802
        self, request: admin_pb2.ListContractsRequest, context: Any
    ) -> admin_pb2.ListContractsResponse:
        offer = admin_pb2.Offer(
            component="virt-handler", pod="virt-handler-1", node="node1", release="0.2.0", feature_level=2
        )
        offer.versions.append("v1")
        pairing = admin_pb2.Pairing(
            contract="kubevirt.handler",
            caller=admin_pb2.Side(component="virt-api", release="0.1.0", feature_level=1, processes=2),
            server=admin_pb2.Side(component="virt-handler", release="0.2.0", feature_level=2, processes=1),
            versions=self.shared,
        )
        silent = admin_pb2.Peer(component="virt-api", pod="virt-api-0", problem="no answer")
        launchers = admin_pb2.Launchers(
            release="0.1.0",
            feature_level=1,
            contracts=["kubevirt.launcher.v1"],
            count=2,
            example_namespace="default",
            example_name="ada",
        )
        return admin_pb2.ListContractsResponse(
            contracts=[admin_pb2.Contract(name="kubevirt.handler", offers=[offer])],
            pairings=[pairing],
            peers=[silent],
            launchers=[launchers],
            other_launchers=1,
            uncounted_nodes=["node7"],
        )

    async def _requested(self, what: str, context: Any) -> None:
        self.callers += context.auth_context()["x509_common_name"]
        self.requested.append(what)
        if self.impossible:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.impossible)


class PortServer:
    """The API server, as far as `peers` needs it."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.operator = Operator()
        self.requests: list[str] = []
        self.socket = ""
        self.forbidden = False
        self.error = ""
        """What the kubelet says on the channel for errors instead of connecting."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path)
        if request.path.endswith("/validatingwebhookconfigurations/virt-operator-validator"):
            bundle = base64.b64encode(self.authority.pem).decode()
            registered = {"service": {"namespace": "kubevirt", "name": "virt-operator"}, "caBundle": bundle}
            return web.json_response({"webhooks": [{"clientConfig": registered}]})
        if request.path.endswith("/pods"):
            return web.json_response({"metadata": {}, "items": [pod("virt-operator", "virt-operator-0")]})
        if self.forbidden:
            return web.json_response({"message": "no"}, status=403)
        assert request.query_string == "ports=8186"
        if request.headers["Accept"] != "*/*":
            return web.json_response({"message": "only a stream"}, status=406)
        return await self._forward(request)

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        channel = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await channel.prepare(request)
        for number in (b"\0", b"\1"):
            await channel.send_bytes(number + _PORT)
        if self.error:
            await channel.send_bytes(b"\1" + self.error.encode())
            await channel.close()
            return channel
        reader, writer = await asyncio.open_unix_connection(self.socket)

        async def down() -> None:
            while chunk := await reader.read(7):  # messages end anywhere
                await channel.send_bytes(b"\0" + chunk)
            await channel.close()

        task = asyncio.create_task(down())
        async for message in channel:
            assert message.type is WSMsgType.BINARY and message.data[0] == 0
            writer.write(message.data[1:])
        task.cancel()
        writer.close()
        return channel


@asynccontextmanager
async def serving(folder: Path, host: str = "virt-operator.kubevirt.svc") -> AsyncIterator[PortServer]:
    """Both. The operator's certificate is of `host`, and of the authority that the API server has at first."""
    port_server, cluster = PortServer(Authority("suite")), Authority("cluster")
    cluster.write_leaf(folder / "alice", "alice")
    own = Certificates(port_server.authority.write_leaf(folder / "own", "kubevirt.io:system:virt-operator", host))
    port_server.socket = str(folder / "operator")
    operator = grpc.aio.server()
    admin_pb2_grpc.add_AdminServiceServicer_to_server(port_server.operator, operator)
    operator.add_secure_port(f"unix:{port_server.socket}", own.server_credentials(lambda: cluster.pem))
    runner = web.ServerRunner(web.Server(port_server.answer), handler_cancellation=True, shutdown_timeout=0.1)
    await operator.start()
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _write_kubeconfig(folder / "config", runner.addresses[0][1])
        yield port_server
    finally:
        await runner.cleanup()
        await operator.stop(None)


def _write_kubeconfig(path: Path, port: int) -> None:
    config = {
        "current-context": "alice",
        "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "token", "user": {"token": "secret"}}],
        "contexts": [{"name": "alice", "context": {"cluster": "a", "user": "token"}}],
    }
    path.write_text(json.dumps(config))


@asynccontextmanager
async def access(folder: Path) -> AsyncIterator[Access]:
    """As the kubeconfig's user, whose credential is a token."""
    async with connected(str(folder / "config"), None, None) as found:
        yield found

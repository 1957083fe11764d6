"""AdminService: the state of API server and pods, and what administrators request.

Served by server.py, which authorizes callers. It has no state and reads everything at each call, so a standby answers
as the leader does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from virt_core.conventions.images import TAG_FORM
from virt_core.conventions.labels import APP
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import LEASES, PODS
from virt_core.objects.meta import rfc3339
from virt_core.objects.upgrade_request import Change, finalize, pause, resume, rollback, upgrade
from virt_core.rpc.errors import InvalidField, Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import Rule
from virt_core.rpc.tls import Certificates

from virt_operator.admin.authorization import caller_in
from virt_operator.admin.contracts import contracts_message
from virt_operator.admin.following import Following
from virt_operator.admin.plan_messages import progress_message, result_messages
from virt_operator.admin.registries import registries
from virt_operator.admin.requests import Requests, active
from virt_operator.admin.status import holder_of, peer_message, suite_message
from virt_operator.peers.answer import COMPONENTS, suite_pods
from virt_operator.peers.answer import Answer as PeerAnswer
from virt_operator.peers.ask import ask_all, ask_launchers
from virt_operator.preflight.check import Request, check
from virt_operator.preflight.plan import Answer
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE
from virt_operator.suite.observed import PodObject

T = TypeVar("T")
_COMPONENTS = f"{APP} in ({','.join(COMPONENTS)})"


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """The servicer."""

    def __init__(
        self, client: KubeClient, settings: Settings, identity: Identity, certificates: Certificates, upgraders: Rule
    ) -> None:
        """`upgraders` are those who may upgrade."""
        self._client = client
        self._settings = settings
        self._identity = identity
        self._certificates = certificates
        self._planning = asyncio.Lock()  # a plan holds all of a large cluster's objects
        self._requests = Requests(client, settings)
        self._upgraders = upgraders

    async def GetStatus(  # noqa: N802 - the contract's name
        self, request: admin_pb2.GetStatusRequest, context: Any
    ) -> admin_pb2.GetStatusResponse:
        """See admin.proto."""
        namespace = self._settings.namespace
        leases = await _answer(self._client.list(LEASES, namespace, fields=f"metadata.name={LEASE}"))
        suite = await active(self._client, namespace)
        return admin_pb2.GetStatusResponse(
            operator=self._identity.to_message(self._certificates.trust_bundle_sha256()),
            pod=self._settings.pod_name,
            leader=holder_of(leases),
            suite=suite_message(suite) if suite is not None else None,
        )

    async def ListPeers(  # noqa: N802 - the contract's name
        self, request: admin_pb2.ListPeersRequest, context: Any
    ) -> admin_pb2.ListPeersResponse:
        """See admin.proto."""
        return admin_pb2.ListPeersResponse(peers=[peer_message(answer) for answer in await self._answers()])

    async def ListContracts(  # noqa: N802 - the contract's name
        self, request: admin_pb2.ListContractsRequest, context: Any
    ) -> admin_pb2.ListContractsResponse:
        """See admin.proto."""
        answers = await self._answers()
        return contracts_message(answers, await ask_launchers(answers, self._certificates, self._settings.namespace))

    async def Watch(  # noqa: N802 - the contract's name
        self, request: admin_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[admin_pb2.WatchResponse]:
        """See admin.proto."""
        async with aclosing(Following(self._client, self._settings.namespace).responses()) as responses:
            async for response in responses:
                yield response

    async def Upgrade(  # noqa: N802 - the contract's name
        self, request: admin_pb2.UpgradeRequest, context: Any
    ) -> admin_pb2.UpgradeResponse:
        """See admin.proto."""

        def decide(kubevirt: Object) -> Change:
            registry, moment = request.registry.rstrip("/"), rfc3339(datetime.now(UTC))
            return upgrade(kubevirt, request.tag, registry, moment)

        return admin_pb2.UpgradeResponse(requested=await self._carry_out("Upgrade", context, decide))

    async def Pause(  # noqa: N802 - the contract's name
        self, request: admin_pb2.PauseRequest, context: Any
    ) -> admin_pb2.PauseResponse:
        """See admin.proto."""
        return admin_pb2.PauseResponse(requested=await self._carry_out("Pause", context, pause))

    async def Resume(  # noqa: N802 - the contract's name
        self, request: admin_pb2.ResumeRequest, context: Any
    ) -> admin_pb2.ResumeResponse:
        """See admin.proto."""
        return admin_pb2.ResumeResponse(requested=await self._carry_out("Resume", context, resume))

    async def Rollback(  # noqa: N802 - the contract's name
        self, request: admin_pb2.RollbackRequest, context: Any
    ) -> admin_pb2.RollbackResponse:
        """See admin.proto."""
        return admin_pb2.RollbackResponse(requested=await self._carry_out("Rollback", context, rollback))

    async def Finalize(  # noqa: N802 - the contract's name
        self, request: admin_pb2.FinalizeRequest, context: Any
    ) -> admin_pb2.FinalizeResponse:
        """See admin.proto."""
        return admin_pb2.FinalizeResponse(requested=await self._carry_out("Finalize", context, finalize))

    async def Plan(  # noqa: N802 - the contract's name
        self, request: admin_pb2.PlanRequest, context: Any
    ) -> AsyncIterator[admin_pb2.PlanResponse]:
        """See admin.proto."""
        if not request.tag:
            raise InvalidField("tag", "", f"the tag of the target's images: {TAG_FORM}")
        wanted = Request(request.tag, request.registry.rstrip("/"), request.offline)
        if wanted.registry and not wanted.offline:
            await self._allow_registry(wanted.registry, context)
        try:
            if self._planning.locked():
                yield progress_message("waiting for another plan of this replica")
            async with self._planning, aclosing(check(self._client, self._settings, wanted)) as steps:
                async for step in steps:
                    if not isinstance(step, Answer):
                        yield progress_message(step)
                        continue
                    for message in result_messages(step):
                        yield message
        except KubeError as error:
            raise Unavailable(f"the API server does not answer: {error}") from error

    async def _allow_registry(self, registry: str, context: Any) -> None:
        """Raises Denied if the suite runs no images of that registry and the caller may not upgrade it."""
        kubevirt = await active(self._client, self._settings.namespace)
        if registry not in registries(kubevirt, self._settings.registry):
            await self._upgraders(context)

    async def _answers(self) -> tuple[PeerAnswer, ...]:
        """GetInfo of every pod of the suite."""
        namespace = self._settings.namespace
        found = await _answer(self._client.list(PODS, namespace, labels=_COMPONENTS))
        pods = suite_pods(msgspec.convert(found, list[PodObject]))
        return await ask_all(pods, self._certificates, namespace)

    async def _carry_out(self, name: str, context: Any, decide: Callable[[Object], Change]) -> admin_pb2.Requested:
        return await self._requests.carry_out(name, caller_in(context, self._certificates).name, decide)


async def _answer(request: Awaitable[T]) -> T:
    try:
        return await request
    except KubeError as error:
        raise Unavailable(f"the API server does not answer: {error}") from error

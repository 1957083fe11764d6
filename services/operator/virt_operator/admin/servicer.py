"""AdminService: reports the state of API server and pods. Served by server.py, which authorizes callers.

It has no state and reads everything at each call, so a standby returns the same as the leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from virt_core.conventions.labels import APP
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import KUBEVIRTS, LEASES, PODS
from virt_core.objects.kubevirt import by_precedence
from virt_core.objects.meta import PartialObject
from virt_core.rpc.errors import InvalidField, Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.tls import Certificates

from virt_operator.admin.plan_messages import progress_message, result_messages
from virt_operator.admin.status import holder_of, peer_message, suite_message
from virt_operator.peers.answer import COMPONENTS, suite_pods
from virt_operator.peers.ask import ask_all
from virt_operator.preflight.check import Request, check
from virt_operator.preflight.plan import Answer
from virt_operator.settings import Settings
from virt_operator.strategy.operator_rbac import LEASE
from virt_operator.suite.observed import PodObject

T = TypeVar("T")
_COMPONENTS = f"{APP} in ({','.join(COMPONENTS)})"


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """The servicer."""

    def __init__(self, client: KubeClient, settings: Settings, identity: Identity, certificates: Certificates) -> None:
        self._client = client
        self._settings = settings
        self._identity = identity
        self._certificates = certificates
        self._planning = asyncio.Lock()  # a plan holds all of a large cluster's objects

    async def GetStatus(  # noqa: N802 - the contract's name
        self, request: admin_pb2.GetStatusRequest, context: Any
    ) -> admin_pb2.GetStatusResponse:
        """See admin.proto."""
        namespace = self._settings.namespace
        leases = await _answer(self._client.list(LEASES, namespace, fields=f"metadata.name={LEASE}"))
        suite = _counting(await _answer(self._client.list(KUBEVIRTS)), namespace)
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
        namespace = self._settings.namespace
        found = await _answer(self._client.list(PODS, namespace, labels=_COMPONENTS))
        pods = suite_pods(msgspec.convert(found, list[PodObject]))
        answers = await ask_all(pods, self._certificates, namespace)
        return admin_pb2.ListPeersResponse(peers=[peer_message(answer) for answer in answers])

    async def Plan(  # noqa: N802 - the contract's name
        self, request: admin_pb2.PlanRequest, context: Any
    ) -> AsyncIterator[admin_pb2.PlanResponse]:
        """See admin.proto."""
        if not request.tag:
            raise InvalidField("tag", "", "the tag of the target's images")
        asked = Request(request.tag, request.registry.rstrip("/"), request.offline)
        try:
            if self._planning.locked():
                yield progress_message("waiting for another plan of this replica")
            async with self._planning, aclosing(check(self._client, self._settings, asked)) as steps:
                async for step in steps:
                    if not isinstance(step, Answer):
                        yield progress_message(step)
                        continue
                    for message in result_messages(step):
                        yield message
        except KubeError as error:
            raise Unavailable(f"the API server does not answer: {error}") from error


def _counting(kubevirts: list[Object], namespace: str) -> Object | None:
    """The active KubeVirt object with all its fields."""
    by_uid = {kubevirt["metadata"]["uid"]: kubevirt for kubevirt in kubevirts}
    suite, _ = by_precedence((msgspec.convert(kubevirt, PartialObject) for kubevirt in kubevirts), namespace)
    return by_uid[suite.metadata.uid] if suite is not None else None


async def _answer(request: Awaitable[T]) -> T:
    try:
        return await request
    except KubeError as error:
        raise Unavailable(f"the API server does not answer: {error}") from error

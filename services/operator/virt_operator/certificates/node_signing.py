"""Approves and signs certificate requests of handlers. Run beside the leader's watches; node_requests.py decides.

Approval and signature are two writes. If a leader dies in between, its successor signs the approved request. Kubernetes
removes completed requests after an hour.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from virt_core import logs
from virt_core.conventions.node_certificate import SIGNER_NAME
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import CERTIFICATE_SIGNING_REQUESTS
from virt_core.objects.meta import rfc3339

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import sign_leaf
from virt_operator.certificates.node_requests import COMMON_NAME, Grant, Pod, Refusal, SigningRequest, judge
from virt_operator.certificates.rollover import Authority

# Seconds between checks for a pod that is not in the cache yet, or is gone. The request's age does not help: it may be
# many hours old when an operator sees it first.
_LOOK_AGAIN, _LOOK_AGAIN_LAST = 2.0, 60.0
_log = logs.bound("virt_operator.certificates.node_signing")


def _utc() -> datetime:
    return datetime.now(UTC)


class NodeSigning:
    """Answers the requests of the suite's handlers."""

    def __init__(
        self,
        client: KubeClient,
        authority: AuthorityWatch,
        namespace: str,
        pods: Callable[[], Iterable[Pod]],
        *,
        now: Callable[[], datetime] = _utc,
        look_again: float = _LOOK_AGAIN,
    ) -> None:
        self._client = client
        self._authority = authority
        self._namespace = namespace
        self._pods = pods
        self._now = now
        self._look_again = look_again
        self._delays: dict[Key, float] = {}
        self._queue: WorkQueue[Key] = WorkQueue("certificate requests")
        self._requests = Reflector(
            client,
            CERTIFICATE_SIGNING_REQUESTS,
            SigningRequest,
            self._queue.add,
            fields=f"spec.signerName={SIGNER_NAME}",
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._requests.run(), name="watch of CertificateSigningRequests")
            await self._queue.run(self._answer, workers=4, first=[_key(request) for request in self._requests])

    def pods_changed(self) -> None:
        """Decide again about requests whose pod was unknown, without waiting for the next check. Only enqueues."""
        for key in self._delays:
            self._queue.add(key)

    async def _answer(self, key: Key) -> float | None:
        request = self._requests.get(key)
        if request is None or request.answered:
            self._delays.pop(key, None)
            return None
        decided = judge(request, self._pods(), self._namespace)
        authority = self._authority.able
        if decided is None or authority is None:
            delay = self._delays.get(key, self._look_again)
            self._delays[key] = min(2 * delay, _LOOK_AGAIN_LAST)
            return delay
        self._delays.pop(key, None)
        name = request.metadata.name
        try:
            if isinstance(decided, Refusal):
                _log.warning("denying a certificate", request=name, reason=decided.why)
                await self._condition(request, "Denied", decided.why)
                return None
            seen = request.metadata.resource_version
            if not request.approved:
                seen = await self._condition(request, "Approved", f"the handler of node {decided.node}")
            _log.info("signing a certificate", request=name, node=decided.node)
            await self._sign(name, seen, decided, authority)
        except NotFound:
            pass
        return None

    async def _condition(self, request: SigningRequest, kind: str, why: str) -> str:
        """Returns the request's new version."""
        condition = {
            "type": kind,
            "status": "True",
            "reason": "VirtOperator",
            "message": why[:1024],
            "lastUpdateTime": rfc3339(self._now()),
        }
        meta = request.metadata
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": {"conditions": [condition]}}
        answer = await self._client.merge_patch(CERTIFICATE_SIGNING_REQUESTS, None, meta.name, body, "approval")
        return str(answer["metadata"]["resourceVersion"])

    async def _sign(self, name: str, seen: str, grant: Grant, authority: Authority) -> None:
        leaf = sign_leaf(
            authority.signer,
            COMMON_NAME,
            grant.names,
            grant.public,
            now=self._now(),
            life=timedelta(seconds=authority.issuing.duration),
        )
        # The resourceVersion prevents a second answer if the watch has not reported the first one yet.
        body = {"metadata": {"resourceVersion": seen}, "status": {"certificate": b64encode(leaf).decode()}}
        await self._client.merge_patch(CERTIFICATE_SIGNING_REQUESTS, None, name, body, "status")


def _key(request: SigningRequest) -> Key:
    return "", request.metadata.name

"""Renews this node's certificate: key and leaf in a folder in memory, signed by a CertificateSigningRequest.

Run by app.py. The key never leaves the pod. A restarted container finds both and serves at once, even if the operator
is down; a new pod serves when the operator has signed. VMs start without the certificate.

A request stays pending until it is answered, across restarts of the container (pending.py): during an outage of the
operator there is one pending CertificateSigningRequest per pod.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from virt_core import logs
from virt_core.conventions.certificate_files import BUNDLE, KEY, LEAF
from virt_core.conventions.issuing import ISSUING
from virt_core.conventions.node_certificate import SIGNER_NAME, dns_names
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, KubeError
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CERTIFICATE_SIGNING_REQUESTS
from virt_core.objects.meta import Condition, ObjectMeta
from virt_core.rpc.tls import NAMES, read_files, write_files

from virt_handler.certificates import apart, first_request, pending
from virt_handler.certificates.question import Wanted

_log = logs.bound("virt_handler.certificates.renewal")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    look: float = 5.0
    """Interval between checks of the files, which change without a notification."""
    retry: float = 5.0
    """Delay after a failure; doubled after each further failure."""
    retry_last: float = 600.0
    """Delay after a denial. Kubernetes keeps a denied request for an hour, so requests must not pile up."""
    reminder: float = 600.0
    """Interval between log lines about a request without an answer."""


_TIMING = Timing()


class RequestGone(Exception):
    """The request was deleted before it was answered: create it again."""


class Denied(Exception):
    """The request was denied: create another request later."""


class _Status(msgspec.Struct, frozen=True):
    certificate: str = ""
    conditions: list[Condition] = []


class _Request(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    status: _Status = _Status()


def _utc() -> datetime:
    return datetime.now(UTC)


class NodeCertificate:
    """The certificate of this node. `ready` is set when the folder has a leaf."""

    def __init__(
        self,
        client: KubeClient,
        *,
        node: str,
        namespace: str,
        instance: str,
        folder: Path,
        trust: Path,
        now: Callable[[], datetime] = _utc,
        timing: Timing = _TIMING,
    ) -> None:
        self._client = client
        self._names = dns_names(node, namespace)
        self._instance = instance
        self._folder = folder
        self._trust = trust
        self._now = now
        self._timing = timing
        self._judged: tuple[Wanted, datetime | None] | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        delay = self._timing.retry
        while True:
            try:
                if await self._due():
                    await self._renew()
            except (KubeError, RequestGone, Denied, OSError, apart.Failed) as error:
                _log.warning("trying again to get a certificate", reason=str(error), delay=delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, self._timing.retry_last)
                continue
            delay = self._timing.retry
            await asyncio.sleep(self._timing.look)

    async def _due(self) -> bool:
        try:
            own = read_files(self._folder, NAMES[:2])
        except OSError:
            return True
        self.ready.set()
        try:
            bundle = read_files(self._trust, (BUNDLE,))[BUNDLE]
            issuing = read_files(self._trust, (ISSUING,))[ISSUING]
        except OSError:
            return False  # being replaced
        wanted = Wanted(leaf=own[LEAF], key=own[KEY], bundle=bundle, issuing=issuing)
        if self._judged is None or self._judged[0] != wanted:
            self._judged = wanted, (await apart.ask(wanted)).due
        due = self._judged[1]
        return due is None or self._now() >= due

    async def _renew(self) -> None:
        waiting = await first_request.stored(self._folder, self._names)
        name = waiting.name(self._instance)
        _log.info("requesting a certificate", request=name, names=self._names)
        spec = {
            "request": b64encode(waiting.request).decode(),
            "signerName": SIGNER_NAME,
            "usages": ["digital signature", "server auth", "client auth"],
        }
        try:
            await self._client.create(CERTIFICATE_SIGNING_REQUESTS, None, {"metadata": {"name": name}, "spec": spec})
        except AlreadyExists:
            _log.info("waiting for the request of an earlier process", request=name)
        try:
            leaf = await self._signed(name)
        except Denied:
            pending.forget(self._folder)
            raise
        write_files(self._folder, {KEY: waiting.key, LEAF: leaf})
        pending.forget(self._folder)
        self.ready.set()

    async def _signed(self, name: str) -> bytes:
        """Wait for the leaf without a time limit.

        Raises:
            RequestGone, Denied: the request will not be signed.
        """
        changed = asyncio.Event()
        answers = Reflector(
            self._client,
            CERTIFICATE_SIGNING_REQUESTS,
            _Request,
            lambda _: changed.set(),
            fields=f"metadata.name={name}",
        )
        watching = asyncio.create_task(answers.run(), name=f"watch of CertificateSigningRequest {name}")
        try:
            await answers.synced.wait()
            while (leaf := _answer(answers.get(("", name)))) is None:
                changed.clear()
                try:
                    async with asyncio.timeout(self._timing.reminder):
                        await changed.wait()
                except TimeoutError:
                    if watching.done():
                        watching.result()
                    _log.warning("waiting for virt-operator to answer a request", request=name)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        return leaf


def _answer(request: _Request | None) -> bytes | None:
    """The leaf; None if the request is not signed yet.

    Raises:
        RequestGone, Denied: the request will not be signed.
    """
    if request is None:
        raise RequestGone("the request is gone")
    for condition in request.status.conditions:
        if condition.type in ("Denied", "Failed"):
            raise Denied(f"{condition.type}: {condition.message}")
    return b64decode(request.status.certificate) if request.status.certificate else None

"""Keeps this node's certificate good: key and leaf in a folder in memory, asked for by a CertificateSigningRequest.

Run by app.py. The key never leaves the pod. A container that starts again finds both and serves at once, also with
the operator away; a new pod serves when the operator has signed. Machines do not wait for any of this.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from virt_core import logs
from virt_core.conventions.issuing import ISSUING
from virt_core.conventions.node_certificate import SIGNER_NAME, dns_names
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CERTIFICATE_SIGNING_REQUESTS
from virt_core.objects.meta import Condition, ObjectMeta
from virt_core.rpc.tls import NAMES, read_files, write_files

from virt_handler.certificates import apart
from virt_handler.certificates.question import Wanted

_LOOK = 5.0  # seconds; the files change without a word
_RETRY = 5.0
_PATIENCE = 600.0  # for an operator that is away; then asked anew
_log = logs.bound("virt_handler.certificates.renewal")


class NotSigned(Exception):
    """The request was denied, went, or nobody answered: ask again later."""


class _Status(msgspec.Struct, frozen=True):
    certificate: str = ""
    conditions: list[Condition] = []


class _Request(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    status: _Status = _Status()


def _utc() -> datetime:
    return datetime.now(UTC)


class NodeCertificate:
    """`ready` is set when the folder holds a leaf."""

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
    ) -> None:
        self._client = client
        self._names = dns_names(node, namespace)
        self._instance = instance
        self._folder = folder
        self._trust = trust
        self._now = now
        self._judged: tuple[Wanted, datetime | None] | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if await self._due():
                    await self._renew()
            except (KubeError, NotSigned, OSError, apart.Failed) as error:
                _log.warning("asking for a certificate again after a failure", reason=str(error))
                await asyncio.sleep(_RETRY)
                continue
            await asyncio.sleep(_LOOK)

    async def _due(self) -> bool:
        try:
            own = read_files(self._folder, NAMES[:2])
        except OSError:
            return True
        self.ready.set()
        try:
            bundle = read_files(self._trust, ("ca.crt",))["ca.crt"]
            issuing = read_files(self._trust, (ISSUING,))[ISSUING]
        except OSError:
            return False  # being replaced
        wanted = Wanted(leaf=own["tls.crt"], key=own["tls.key"], bundle=bundle, issuing=issuing)
        if self._judged is None or self._judged[0] != wanted:
            self._judged = wanted, (await apart.ask(wanted)).due
        due = self._judged[1]
        return due is None or self._now() >= due

    async def _renew(self) -> None:
        made = await apart.ask(Wanted(names=self._names))
        key, request = made.key, made.request
        name = f"{self._instance}-{hashlib.sha256(request).hexdigest()[:16]}"
        _log.info("asking for a certificate", request=name, names=self._names)
        spec = {
            "request": b64encode(request).decode(),
            "signerName": SIGNER_NAME,
            "usages": ["digital signature", "server auth", "client auth"],
        }
        await self._client.create(CERTIFICATE_SIGNING_REQUESTS, None, {"metadata": {"name": name}, "spec": spec})
        leaf = await self._signed(name)
        write_files(self._folder, {"tls.key": key, "tls.crt": leaf})
        self.ready.set()

    async def _signed(self, name: str) -> bytes:
        changed = asyncio.Event()
        answers = Reflector(
            self._client,
            CERTIFICATE_SIGNING_REQUESTS,
            _Request,
            lambda _: changed.set(),
            fields=f"metadata.name={name}",
        )
        try:
            async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
                watching = group.create_task(answers.run(), name=f"watch of CertificateSigningRequest {name}")
                await answers.synced.wait()
                while (leaf := _answer(answers.get(("", name)))) is None:
                    changed.clear()
                    await changed.wait()
                watching.cancel()
        except TimeoutError as error:
            raise NotSigned(f"{name}: nobody answered for {_PATIENCE:.0f} s") from error
        except ExceptionGroup as group_error:
            refused = group_error.subgroup(NotSigned)
            if refused is None:
                raise
            raise refused.exceptions[0] from None
        return leaf


def _answer(request: _Request | None) -> bytes | None:
    """The leaf, None while there is none.

    Raises:
        NotSigned: there will be none.
    """
    if request is None:
        raise NotSigned("the request is gone")
    for condition in request.status.conditions:
        if condition.type in ("Denied", "Failed"):
            raise NotSigned(f"{condition.type}: {condition.message}")
    return b64decode(request.status.certificate) if request.status.certificate else None

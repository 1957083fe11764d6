"""Queries pods for the authorities that they trust, during a rollover. Run beside the leader's watches.

Answers stay valid for the whole rollover: bundles only grow until the new authority signs, and a restarted process
reads the same bundle or a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from virt_core import logs
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.rpc.tls import Certificates

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.peers.answer import Pod, suite_pods
from virt_operator.peers.ask import ask_all

_PERIOD = 2.0  # seconds; the kubelet takes up to 90 seconds to update a pod's bundle
_log = logs.bound("virt_operator.certificates.trust")


class TrustReports:
    """`by_pod` is the SHA-256 of the bundle that each pod reports, by the pod's name."""

    def __init__(
        self,
        authority: AuthorityWatch,
        certificates: Certificates,
        namespace: str,
        pods: Callable[[], Iterable[Pod]],
        changed: Callable[[], None],
        *,
        port: int = RPC_PORT,
    ) -> None:
        self._authority = authority
        self._certificates = certificates
        self._namespace = namespace
        self._pods = pods
        self._changed = changed
        self._port = port
        self._stirred = asyncio.Event()
        self.by_pod: dict[str, str] = {}
        authority.subscribe(self._stirred.set)

    async def run(self) -> None:
        """Run until cancelled. Queries pods only during a rollover."""
        while True:
            self._stirred.clear()
            authority = self._authority.able
            if authority is None or authority.successor is None:
                self.by_pod = {}
                await self._stirred.wait()
                continue
            await self._ask(authority.bundle_sha256)
            await asyncio.sleep(_PERIOD)

    async def _ask(self, wanted: str) -> None:
        pods = suite_pods(self._pods())
        pending = [pod for pod in pods if self.by_pod.get(pod.name) != wanted]
        try:
            answers = await ask_all(pending, self._certificates, self._namespace, port=self._port)
        except OSError as error:
            _log.warning("waiting for the operator's own certificate", reason=str(error))
            return
        bundles = {answer.pod.name: answer.info.trust_bundle_sha256 for answer in answers if answer.info is not None}
        known = {pod.name: self.by_pod[pod.name] for pod in pods if pod.name in self.by_pod} | bundles
        if known != self.by_pod:
            _log.info("recording which pods trust the new authority", pods=sorted(bundles), of=len(pods))
            self.by_pod = known
            self._changed()

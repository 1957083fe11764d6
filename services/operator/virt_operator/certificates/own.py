"""The operator's own leaf, in memory and in a folder in memory: by it each replica serves webhook and admin port.

Run by app.py on every replica, whether it leads or not and whether a KubeVirt object exists or not. The servers read
the folder as everywhere in the suite (virt_core.rpc.tls); `ready` says that there is something to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from virt_core import logs
from virt_core.rpc.tls import read_files, write_files

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import KeyPair, new_leaf
from virt_operator.certificates.plan import authority_deadline, leaf_deadline, operator_leaf

_log = logs.bound("virt_operator.certificates.own")


def _utc() -> datetime:
    return datetime.now(UTC)


class OwnCertificate:
    """Keeps `folder` at a good leaf and the newest bundle."""

    def __init__(
        self, authority: AuthorityWatch, namespace: str, folder: Path, now: Callable[[], datetime] = _utc
    ) -> None:
        self._authority = authority
        self._leaf = operator_leaf(namespace)
        self._folder = folder
        self._now = now
        self._changed = asyncio.Event()
        self.ready = asyncio.Event()
        authority.subscribe(self._changed.set)

    async def run(self) -> None:
        """Until cancelled."""
        pair = self._load()
        if pair is not None:
            self.ready.set()  # a restarted container serves at once, also while there is no API server
        while True:
            self._changed.clear()
            secret = self._authority.current
            wanted = self._renewed(pair, secret.key_pair()) if secret is not None else pair
            if wanted is not None and wanted != pair:
                write_files(
                    self._folder, {"tls.crt": wanted.certificate, "tls.key": wanted.key, "ca.crt": wanted.bundle}
                )
                pair = wanted
                self.ready.set()
            await self._wait(pair)

    def _renewed(self, pair: KeyPair | None, authority: KeyPair) -> KeyPair | None:
        """What the folder should hold; `pair` itself if that is well, or if the authority cannot sign now."""
        if authority_deadline(authority) is None:
            return pair
        now = self._now()
        deadline = leaf_deadline(self._leaf, pair, authority) if pair is not None else None
        if pair is None or deadline is None or now >= deadline:
            _log.info("issuing the operator's own certificate")
            return new_leaf(authority, self._leaf.common_name, self._leaf.dns_names, now)
        return replace(pair, bundle=authority.bundle)

    async def _wait(self, pair: KeyPair | None) -> None:
        """Until the authority changes or the leaf falls due."""
        secret = self._authority.current
        deadline = leaf_deadline(self._leaf, pair, secret.key_pair()) if pair is not None and secret else None
        seconds = max((deadline - self._now()).total_seconds(), 1.0) if deadline is not None else None
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _load(self) -> KeyPair | None:
        try:
            files = read_files(self._folder)
        except OSError:
            return None
        return KeyPair(files["tls.crt"], files["tls.key"], files["ca.crt"])

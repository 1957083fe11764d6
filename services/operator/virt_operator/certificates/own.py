"""The operator's own leaf in a folder in memory, with which each replica serves webhook and admin port.

Run by app.py on every replica, leader or not, with or without a KubeVirt object. The servers read the folder like all
servers of the suite (virt_core.rpc.tls); `ready` is set when it has a certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from virt_core import logs
from virt_core.conventions.certificate_files import BUNDLE, KEY, LEAF
from virt_core.rpc.tls import read_files, write_files

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import KeyPair, new_leaf
from virt_operator.certificates.plan import leaf_renewal, operator_leaf
from virt_operator.certificates.rollover import Authority

_log = logs.bound("virt_operator.certificates.own")


def _utc() -> datetime:
    return datetime.now(UTC)


class OwnCertificate:
    """Keeps a valid leaf and the newest bundle in `folder`."""

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
            self.ready.set()  # a restarted container serves at once, even if the API server is down
        while True:
            self._changed.clear()
            authority = self._authority.able
            wanted = self._renewed(pair, authority) if authority is not None else pair
            if wanted is not None and wanted != pair:
                write_files(self._folder, {LEAF: wanted.certificate, KEY: wanted.key, BUNDLE: wanted.bundle})
                pair = wanted
                self.ready.set()
            await self._wait(pair)

    def _renewed(self, pair: KeyPair | None, authority: Authority) -> KeyPair:
        """The desired contents of the folder; `pair` itself if it is valid."""
        now = self._now()
        due = leaf_renewal(self._leaf, pair, authority) if pair is not None else None
        if pair is None or due is None or now >= due:
            _log.info("issuing the operator's own certificate")
            life = timedelta(seconds=authority.issuing.duration)
            return new_leaf(authority.signer, self._leaf.common_name, self._leaf.dns_names, now, life)
        return replace(pair, bundle=authority.bundle)

    async def _wait(self, pair: KeyPair | None) -> None:
        """Wait until the authority changes or the leaf must be renewed."""
        authority = self._authority.able
        due = leaf_renewal(self._leaf, pair, authority) if pair is not None and authority is not None else None
        seconds = max((due - self._now()).total_seconds(), 1.0) if due is not None else None
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
        return KeyPair(files[LEAF], files[KEY], files[BUNDLE])

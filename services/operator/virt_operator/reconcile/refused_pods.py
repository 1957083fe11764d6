"""Reads why pods of a DaemonSet or a Job are not created, from their events. Called by the reconciler while pods are
missing; suite/refused_pods.py decides what it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import EVENTS
from virt_core.objects.event import Event

from virt_operator.strategy.ref import Ref
from virt_operator.suite.observed import Observed
from virt_operator.suite.refused_pods import refusal_in, short_of_pods, with_refusals

AGAIN = 10.0
"""Seconds until it is read again, while pods are missing: no watch tells of an event."""

_MOST = 50  # warnings of an object
_log = logs.bound("virt_operator.refused_pods")


class RefusedPods:
    """What events said last, for the objects that are short of pods. There are many passes while pods are replaced."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: dict[str, tuple[datetime, str]] = {}  # by the object's UID: when, and why

    async def added_to(self, observed: Observed) -> Observed:
        """`observed` with what the events of objects that are short of pods say."""
        short = {ref: observed.owned[ref].metadata.uid for ref in short_of_pods(observed)}
        self._known = {uid: known for uid, known in self._known.items() if uid in short.values()}
        for ref, uid in short.items():
            at, why = self._known.get(uid, (None, ""))
            if at is None or not timedelta(0) <= observed.now - at < timedelta(seconds=AGAIN):
                self._known[uid] = (observed.now, await self._read(ref, uid, why))
        return with_refusals(observed, {ref: self._known[uid][1] for ref, uid in short.items()})

    async def _read(self, ref: Ref, uid: str, before: str) -> str:
        """Why its pods are refused; as `before` if that cannot be read."""
        fields = f"regarding.uid={uid},type=Warning"
        try:
            found = await self._client.list(EVENTS, ref.namespace, fields=fields, limit=_MOST)
        except KubeError as error:
            _log.warning("not reading events", object=str(ref), reason=str(error))
            return before
        return refusal_in(msgspec.convert(found, list[Event]), datetime.now(UTC))

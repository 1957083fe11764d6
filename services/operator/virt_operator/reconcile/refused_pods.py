"""Reads why pods of a DaemonSet or a Job are not created, from their events. Called by the reconciler while pods are
missing; suite/refused_pods.py decides what it means."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import EVENTS
from virt_core.objects.event import Event

from virt_operator.suite.observed import Observed
from virt_operator.suite.refused_pods import refusal_in, short_of_pods, with_refusals

AGAIN = 10.0
"""Seconds until it is read again, while pods are missing: no watch tells of an event."""

_MOST = 50  # warnings of an object
_log = logs.bound("virt_operator.refused_pods")


async def with_refused_pods(client: KubeClient, observed: Observed) -> Observed:
    """`observed` with what the events of objects that are short of pods say."""
    refusals = {}
    for ref in short_of_pods(observed):
        fields = f"regarding.uid={observed.owned[ref].metadata.uid},type=Warning"
        try:
            found = await client.list(EVENTS, ref.namespace, fields=fields, limit=_MOST)
        except KubeError as error:
            _log.warning("not reading events", object=str(ref), reason=str(error))
            continue
        refusals[ref] = refusal_in(msgspec.convert(found, list[Event]), datetime.now(UTC))
    return with_refusals(observed, refusals)

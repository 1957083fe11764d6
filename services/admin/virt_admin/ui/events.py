"""Events about VMs and the suite, as rows. Pure; called by board.py."""

from __future__ import annotations

import msgspec
from virt_core.objects.event import Event as CoreEvent
from virt_core.objects.meta import ObjectMeta

KINDS = ("VirtualMachine", "VirtualMachineInstance", "VirtualMachineInstanceMigration", "KubeVirt")
"""Whose events are shown."""


class Regarding(msgspec.Struct, frozen=True):
    """What an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class Series(msgspec.Struct, frozen=True, rename="camel"):
    """Repetitions of an event."""

    count: int = 0
    last_observed_time: str = ""


class Event(CoreEvent, frozen=True, kw_only=True, rename="camel"):
    """An event, in the new or the old format."""

    metadata: ObjectMeta
    type: str = ""
    regarding: Regarding = Regarding()
    series: Series | None = None
    deprecated_count: int | None = None


class EventRow(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A row."""

    type: str
    """ "Normal" or "Warning"."""

    reason: str
    note: str
    kind: str
    namespace: str
    name: str
    last_seen: str
    count: int


def event_row(event: Event) -> EventRow:
    """The row of an event."""
    series, about = event.series, event.regarding
    times = (series.last_observed_time if series is not None else "", event.last_seen)
    return EventRow(
        type=event.type,
        reason=event.reason,
        note=event.note,
        kind=about.kind,
        namespace=about.namespace,
        name=about.name,
        last_seen=next(filter(None, times), event.metadata.creation_timestamp),
        count=(series.count if series is not None else event.deprecated_count) or 1,
    )

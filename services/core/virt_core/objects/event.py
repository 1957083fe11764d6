"""The fields of an event that says what goes wrong with an object. Pure; decoded by virt-controller and virtadm."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """An event, in the new or the old format."""

    reason: str = ""
    note: str = ""
    event_time: str | None = None
    deprecated_last_timestamp: str | None = None

    @property
    def last_seen(self) -> str:
        """RFC 3339. Writers of the old event format, such as kubelets, set the second field."""
        return self.deprecated_last_timestamp or self.event_time or ""

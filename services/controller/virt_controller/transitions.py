"""How long objects take from phase to phase, counted at each pass over one of them. Filled by the reconcilers of
VirtualMachineInstances and migrations, shown by `metrics/`.

Phases that were entered before this replica led are its predecessor's. An object's phases are counted from its list of
transitions, so none is lost when several changes arrive as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from virt_core.metrics.histogram import Histogram
from virt_core.metrics.passes import Passes
from virt_core.objects.meta import ObjectMeta, moment_of

Key = tuple[str, str]
Entered = tuple[str, str]
"""A phase, and when it was entered, RFC 3339."""

_FINAL = ("Succeeded", "Failed")
_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0)
BOUNDS = (*_BOUNDS, 3600.0)
"""KubeVirt's, in seconds."""

MIGRATION_BOUNDS = (0.1, *BOUNDS, 7200.0)
"""KubeVirt's of migrations."""


class Transitions:
    """Of the objects of one kind."""

    def __init__(self, bounds: tuple[float, ...], since: datetime) -> None:
        self._since = since - timedelta(seconds=1)  # timestamps are whole seconds
        self._counted: dict[Key, tuple[str, str, int]] = {}  # UID, newest timestamp and number of its transitions
        self.passes = Passes()
        """How often each object was looked at."""

        self.from_last = Histogram(("phase", "last_phase"), bounds)
        self.from_creation = Histogram(("phase",), bounds)
        self.from_deletion = Histogram(("phase",), bounds)

    def see(self, meta: ObjectMeta, entered: Sequence[Entered]) -> None:
        """An object, with its phases in the order in which they were entered."""
        key = meta.namespace, meta.name
        self.passes.count(key)
        newest = (meta.uid, entered[-1][1] if entered else "", len(entered))
        before = self._counted.get(key)
        if before == newest:
            return
        self._counted[key] = newest
        known = before if before is not None and before[0] == meta.uid else None
        for number, (phase, text) in enumerate(entered):
            moment = moment_of(text)
            if moment is None or moment < self._since or (known is not None and number < known[2]):
                continue
            self._count(meta, phase, moment, entered[number - 1] if number else ("", meta.creation_timestamp))

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._counted.pop(key, None)
        self.passes.forget(key)

    def _count(self, meta: ObjectMeta, phase: str, moment: datetime, last: Entered) -> None:
        if (created := moment_of(meta.creation_timestamp)) is not None:
            self.from_creation.observe((phase,), (moment - created).total_seconds())
        if (before := moment_of(last[1])) is not None:
            self.from_last.observe((phase, last[0]), (moment - before).total_seconds())
        if phase in _FINAL and (deleted := moment_of(meta.deletion_timestamp)) is not None:
            self.from_deletion.observe((phase,), (moment - deleted).total_seconds())

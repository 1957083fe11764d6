"""Whether what processes hold grows with their age: memory, descriptors, threads. Pure.

Called by the soak's report (tests/support/soak_table.py), which test_soak.py writes. The slope is Theil and Sen's: the
median of the slopes of all pairs of samples. A guest that comes or a burst of requests moves a few pairs and not the
median. Two samples make a pair if they are of one process and of the same load, so that more guests are no leak.
Processes of one kind are judged together: a release replaces them each few minutes, and one alone has too few samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

WARM_UP = 420.0
"""Seconds of a process that do not count: it imports what it first needs, fills its caches, makes its connections. A
virt-api that end-to-end tests use takes 2.4 MiB more from its second to its ninth minute."""

YOUNGEST = 900.0
"""Seconds. A younger process has less than ten samples after its warm-up: their noise is larger than any slope that
matters."""

_APART = 180.0  # seconds: the noise of two samples that are nearer to each other is larger than what may have grown


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one process at one moment."""

    age: float
    """Seconds since the process was started."""

    load: int
    """How many launcher pods there were that it works for."""

    pss: float
    """Proportional set size in MiB: for the table. Another process that ends or starts changes it."""

    anonymous: float
    """Memory in MiB that is of no file, which nobody else changes."""

    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Limit:
    """What may grow how fast."""

    name: str
    of: Callable[[Sample], float]
    an_hour: float


LIMITS = (
    Limit("anonymous MiB", lambda sample: sample.anonymous, 9.0),
    Limit("descriptors", lambda sample: sample.descriptors, 4.0),
    Limit("threads", lambda sample: sample.threads, 4.0),
)
"""Certificates of five minutes are renewed twelve times an hour or more, and in an hour there are dozens of guests: a
descriptor or a thread that one renewal or one guest leaves is three times the limit. Memory: 1.5 MiB in the ten
minutes that are looked at, which an allocator may still take that has not come to rest; 4 KiB for each request or watch
event of a busy suite (one a second) is more than that. tests/support/held.py finds single entries that stay."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one number of one kind of process."""

    limit: Limit
    an_hour: float | None
    """None: no process was old enough."""

    @property
    def is_flat(self) -> bool:
        """What was not looked at does not fail."""
        return self.an_hour is None or self.an_hour <= self.limit.an_hour

    def __str__(self) -> str:
        if self.an_hour is None:
            return "not judged"
        return f"{self.an_hour:+.1f}" + ("" if self.is_flat else f" (at most {self.limit.an_hour:.0f})")


def judged(processes: Iterable[Sequence[Sample]]) -> list[Judgement]:
    """Each of LIMITS over all processes of one kind."""
    counted = [_counted(samples) for samples in processes]
    return [Judgement(limit, slope(counted, limit.of)) for limit in LIMITS]


def slope(processes: Iterable[Sequence[Sample]], of: Callable[[Sample], float]) -> float | None:
    """The median growth an hour; None if there are no pairs."""
    slopes = [
        3600 * (of(later) - of(earlier)) / (later.age - earlier.age)
        for samples in processes
        for earlier, later in combinations(samples, 2)
        if later.load == earlier.load and later.age - earlier.age >= _APART
    ]
    return median(slopes) if slopes else None


def _counted(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those after the warm-up of a process that is old enough."""
    if not samples or samples[-1].age < YOUNGEST:
        return ()
    return [sample for sample in samples if sample.age >= WARM_UP]

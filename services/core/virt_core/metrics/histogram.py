"""Numbers counted where something happens, for a histogram that is written when somebody asks. Plain and quick: queues
and clients observe each request. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

Labels = tuple[str, ...]


@dataclass(slots=True)
class _Counts:
    buckets: list[int]
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often which value was observed, by the values of its labels."""

    names: Labels
    """Of the labels."""

    bounds: tuple[float, ...]
    """The upper bounds of the buckets but the last, which has none."""

    _counts: dict[Labels, _Counts] = field(default_factory=dict)

    def observe(self, labels: Labels, value: float) -> None:
        """Something took `value`; less than nothing, because of two clocks, counts as nothing."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = _Counts([0] * (len(self.bounds) + 1))
        value = max(value, 0.0)
        counts.buckets[bisect_left(self.bounds, value)] += 1
        counts.total += value

    @classmethod
    def merged(cls, name: str, histograms: Mapping[str, Histogram]) -> Histogram:
        """One of several without labels, with the label `name`."""
        counts: dict[Labels, _Counts] = {
            (value,): kept for value, histogram in histograms.items() for kept in histogram._counts.values()
        }
        bounds = next((histogram.bounds for histogram in histograms.values()), ())
        return cls((name,), bounds, counts)

    def __iter__(self) -> Iterator[tuple[Labels, Sequence[int], float]]:
        """Labels, how many observations were at most each bound and in all, and their sum."""
        for labels, counts in sorted(self._counts.items()):
            yield labels, tuple(accumulate(counts.buckets)), counts.total

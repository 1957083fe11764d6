"""The bench of a drift pass measures a suite at rest, and one with a change that the pass repairs."""

from __future__ import annotations

from tests.bench.drift import drift


def test_a_pass_is_measured_with_and_without_a_change() -> None:
    found = drift((1, 3))
    assert list(found) == ["1 nodes", "3 nodes"]
    assert all(milliseconds > 0 for values in found.values() for milliseconds in values.values())

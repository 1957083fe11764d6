"""Rate limit of a launcher's reports."""

from __future__ import annotations

from virt_handler.machines.allowance import Allowance


def test_some_at_once_then_one_now_and_then() -> None:
    allowance = Allowance(20, 1.0)
    assert [allowance.take(100.0) for _ in range(20)] == [0.0] * 20
    assert allowance.take(100.0) == 1.0
    assert allowance.take(101.0) == 1.0


def test_whoever_was_silent_may_say_some_at_once_again() -> None:
    allowance = Allowance(2, 1.0)
    assert [allowance.take(0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert [allowance.take(3.0) for _ in range(3)] == [0.0, 0.0, 1.0]

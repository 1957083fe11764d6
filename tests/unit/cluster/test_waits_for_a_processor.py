"""Waits for a processor, which tests on a cluster take off a guest's silence: tests/support/processor_waits.py."""

from __future__ import annotations

from tests.support.processor_waits import ProcessorWaits


def test_waits_of_all_threads_of_the_processes_add_up_to_no_more_than_the_time() -> None:
    waits = ProcessorWaits()
    for moment in range(10):
        waits.add(7, "emulator", moment, 100 + moment * 0.1)
        waits.add(7, "vcpu", moment, moment * 0.5)
        waits.add(8, "observer", moment, moment * 0.2)
    assert round(waits.between([7], 2, 6), 3) == 2.4
    assert round(waits.between([7, 8], 2, 6), 3) == 3.2
    assert waits.between([7, 7, 7], 2, 6) == 4
    assert waits.between([9], 2, 6) == 0


def test_the_samples_around_the_time_count() -> None:
    waits = ProcessorWaits()
    for moment, waited in ((0.0, 0.0), (10.0, 6.0)):
        waits.add(7, "vcpu", moment, waited)
    assert waits.between([7], 2, 3) == 1
    assert waits.between([7], 1, 9) == 6
    assert waits.between([7], 11, 12) == 0


def test_a_process_that_has_ended_has_no_more_samples() -> None:
    waits = ProcessorWaits()
    waits.sample([2**22 + 1])
    assert waits.between([2**22 + 1], 0, 1) == 0

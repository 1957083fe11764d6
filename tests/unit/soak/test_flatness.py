"""Growth is told from noise: tests/support/flatness.py."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.support.flatness import LIMITS, Judgement, Sample, judged

MINUTE = 60.0


def process(
    minutes: int,
    anonymous: Callable[[int], float] = lambda minute: 40.0,
    descriptors: Callable[[int], float] = lambda minute: 30,
    load: Callable[[int], int] = lambda minute: 0,
) -> list[Sample]:
    """A sample each minute."""
    return [
        Sample(minute * MINUTE, load(minute), 50.0, anonymous(minute), int(descriptors(minute)), 4)
        for minute in range(minutes + 1)
    ]


def verdict(name: str, *processes: list[Sample]) -> Judgement:
    return next(judgement for judgement in judged(processes) if judgement.limit.name == name)


def test_what_does_not_grow_is_flat() -> None:
    assert [(judgement.an_hour, judgement.is_flat) for judgement in judged([process(17)])] == [(0.0, True)] * 3
    assert str(verdict("threads", process(17))) == "+0.0"


def test_a_descriptor_that_each_renewal_of_a_certificate_leaves_is_found() -> None:
    leaking = [process(17, descriptors=lambda minute: 30 + minute // 4) for _ in range(2)]
    found = verdict("descriptors", *leaking)
    assert not found.is_flat
    assert str(found).endswith("(at most 4)")


@pytest.mark.parametrize(("an_hour", "flat"), [(4.0, True), (16.0, False)])
def test_memory_that_grows_is_found_in_noise_and_jumps(an_hour: float, flat: bool) -> None:
    chance = random.Random(1)

    def grows(minute: int) -> float:
        burst = 20.0 if minute % 7 == 3 else 0.0
        return 40.0 + an_hour * minute / 60 + chance.uniform(-0.3, 0.3) + burst

    found = verdict("anonymous MiB", *(process(17, anonymous=grows) for _ in range(12)))
    assert found.an_hour == pytest.approx(an_hour, abs=2.5)
    assert found.is_flat is flat


def test_the_first_seven_minutes_do_not_count() -> None:
    warming = process(17, anonymous=lambda minute: 20.0 + 5 * min(minute, 7))
    assert verdict("anonymous MiB", warming).an_hour == 0


def test_more_guests_are_no_leak() -> None:
    busy = process(17, descriptors=lambda minute: 30 + 4 * (minute // 5), load=lambda minute: minute // 5)
    assert verdict("descriptors", busy).an_hour == 0


def test_a_leak_is_found_although_guests_come_and_go() -> None:
    busy = process(17, descriptors=lambda minute: 30 + 4 * (minute % 2) + minute // 3, load=lambda minute: minute % 2)
    assert not verdict("descriptors", busy).is_flat


def test_a_process_that_is_younger_than_fifteen_minutes_is_not_judged() -> None:
    young = [process(14, descriptors=lambda minute: 30 + minute) for _ in range(8)]
    assert [str(judgement) for judgement in judged([*young, []])] == ["not judged"] * len(LIMITS)
    assert all(judgement.is_flat for judgement in judged(young))


def test_a_successor_that_is_larger_than_what_it_replaces_does_not_count_as_growth() -> None:
    generations = [process(17, anonymous=lambda minute, size=size: 40.0 + size) for size in range(6)]
    assert verdict("anonymous MiB", *generations).an_hour == 0

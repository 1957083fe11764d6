"""Users and an administrator act at random while releases change: 50 sequences, and the promises hold after each step.

Guests are created, edited, migrated, paused, stopped; the suite goes from the newest recorded release to this tree and
its next release, is paused, rolled back, finalized; processes die. The step after a change of release begins often
happens before the change has ended.

`make chaos` runs SEQUENCES of them (50, two to three minutes each), `make test-all` three. A sequence follows from its
number, which it prints: SEQUENCES_SEED=NUMBER SEQUENCES=1 with `-m chaos` repeats it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.e2e.administrator import Administrator
from tests.e2e.builds import NEXT, RECORDED, TODAY, Build, by_image_tag, by_manifest, pull
from tests.e2e.deaths import API_SERVER, SUITE, lose
from tests.e2e.killing import COMPONENTS
from tests.e2e.tenant import LAUNCHER, MEMORY, PAUSED, RUNNING, STOPPED, Tenant

FIRST = int(os.environ.get("SEQUENCES_SEED", time.time_ns() % 100_000))
STEPS = 7
GUESTS = 2  # at once: the machine has two processors
KINDS = ("bios", "uefi", "disk")
HEADSTARTS = (None, 1, 5, 10, 15, 20)
"""Seconds that a change of release has before the next step. None: that waits until the change has ended."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
Act = tuple[str, Callable[[], object]]
"""What is printed, and what is done."""


class Sequence(RuleBasedStateMachine):
    """Who acts, and who is promised what. What is possible follows from the choices before, not from the cluster."""

    failure: ClassVar[Exception | None] = None
    """Nothing is done after it. It is kept from hypothesis, which would repeat the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self._tenants: list[Tenant] = []
        self._created = 0
        self._admin: Administrator | None = None

    @initialize(number=st.integers(0, 2**32), start=st.sampled_from([RECORDED, TODAY]), kind=st.sampled_from(KINDS))
    def begins(self, number: int, start: Build, kind: str) -> None:
        assume(number)  # hypothesis tries the simplest sequence first, which is the same for each seed
        self._take((f"install {start.name}", partial(self._arrive, start)))
        if self.failure is None:
            self._take(self._creation(kind))

    # One rule for all: of several hypothesis would leave most out of a sequence, which is short.
    @rule(data=st.data())
    def somebody_acts(self, data: st.DataObject) -> None:
        if self.failure is None:
            choice: Callable[[Draw], Act] = data.draw(st.sampled_from(self._choices()))
            self._take(choice(data.draw))

    @invariant()
    def promises_hold(self) -> None:
        if self.failure is None:
            words = "; ".join(map(str, (*self._tenants, self._administrator)))
            self._take((f"   {words}", self._check))

    def teardown(self) -> None:
        if self._admin is not None and self.failure is None:
            self._take(("end", self._end))
        for tenant in self._tenants:
            with self._kept():
                tenant.remove()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            print(f"FAILED: {error!r}"[:2000], flush=True)
            type(self).failure = self.failure or error

    @property
    def _administrator(self) -> Administrator:
        assert self._admin is not None
        return self._admin

    def _take(self, act: Act) -> None:
        words, do = act
        print(f"  {words}: ", end="", flush=True)
        began = time.monotonic()
        with self._kept():
            print(f"{do() or 'done'}, ", end="")
        print(f"{time.monotonic() - began:.0f} s", flush=True)

    def _arrive(self, build: Build) -> None:
        self._admin = Administrator.arriving(build)

    def _end(self) -> None:
        if self._administrator.paused:
            self._administrator.resume()
        self._administrator.arrive()
        self._check()

    def _check(self) -> str:
        for tenant in self._tenants:
            tenant.check()
        if not self._administrator.in_progress:
            self._administrator.check()
        return "as promised"

    def _choices(self) -> list[Callable[[Draw], Act]]:
        """More often than others what the administrator does."""
        admin, tenants = self._administrator, self._tenants
        states = {tenant.state for tenant in tenants}
        weighted: list[tuple[int, bool, Callable[[Draw], Act]]] = [
            (2, len(tenants) < GUESTS, self._create),
            (1, bool(tenants), self._edit),
            (1, bool(tenants), self._delete),
            (2, bool(states - {STOPPED}), self._migrate),
            (1, bool(states - {STOPPED}), self._stop),
            (2, STOPPED in states, self._start),
            (1, RUNNING in states, self._pause_guest),
            (2, PAUSED in states, self._unpause_guest),
            (6, bool(admin.newer()), self._upgrade),
            (5, bool(admin.older()), self._roll_back),
            (3, admin.may_finalize(), self._finalize),
            (1, admin.may_pause(), self._pause),
            (3, admin.paused, self._resume),
            (2, True, self._kill),
        ]
        return [choice for weight, possible, choice in weighted if possible for _ in range(weight)]

    def _create(self, draw: Draw) -> Act:
        return self._creation(draw(st.sampled_from(KINDS)))

    def _creation(self, kind: str) -> Act:
        self._created += 1
        tenant = Tenant(f"sequence{self._created}", kind)
        self._tenants.append(tenant)
        return f"create {tenant.name} ({kind})", self._settled(tenant.create)

    def _edit(self, draw: Draw) -> Act:
        tenant = draw(st.sampled_from(self._tenants))
        path, value = draw(
            st.one_of(
                st.tuples(st.just(("template", "spec", "domain", "memory", "guest")), st.sampled_from(MEMORY)),
                st.tuples(st.just(("template", "metadata", "annotations", "edited")), st.sampled_from("abc")),
            )
        )
        return f"edit {path[-1]} of {tenant.name}: {value}", self._settled(partial(tenant.edit, *path, value=value))

    def _delete(self, draw: Draw) -> Act:
        tenant = draw(st.sampled_from(self._tenants))
        self._tenants.remove(tenant)
        return f"delete {tenant}", self._settled(tenant.remove)

    def _migrate(self, draw: Draw) -> Act:
        tenant, may_fail = self._one(draw, RUNNING, PAUSED), self._administrator.in_progress
        return f"migrate {tenant}", self._settled(partial(tenant.migrate, may_fail=may_fail))

    def _stop(self, draw: Draw) -> Act:
        tenant = self._one(draw, RUNNING, PAUSED)
        return f"stop {tenant}", self._settled(tenant.stop)

    def _start(self, draw: Draw) -> Act:
        tenant = self._one(draw, STOPPED)
        return f"start {tenant}", self._settled(tenant.start)

    def _pause_guest(self, draw: Draw) -> Act:
        tenant = self._one(draw, RUNNING)
        return f"pause {tenant}", self._settled(tenant.pause)

    def _unpause_guest(self, draw: Draw) -> Act:
        tenant = self._one(draw, PAUSED)
        return f"unpause {tenant}", self._settled(tenant.unpause)

    def _upgrade(self, draw: Draw) -> Act:
        newer = self._administrator.newer()
        return self._change("upgrade", draw(st.sampled_from([*newer, newer[0]])), draw)  # a neighbour more often

    def _roll_back(self, draw: Draw) -> Act:
        older = self._administrator.older()
        return self._change("roll back", draw(st.sampled_from([*older, older[-1]])), draw)

    def _change(self, what: str, build: Build, draw: Draw) -> Act:
        admin = self._administrator
        way = draw(st.sampled_from([by_manifest, by_image_tag] if admin.may_apply(build) else [by_image_tag]))
        headstart = draw(st.sampled_from(HEADSTARTS))
        words = f"{what} to {build.name} {way.__name__}"
        if headstart is None:
            return words, self._settled(partial(admin.change, build, way))

        def begin() -> None:
            admin.change(build, way)
            threading.Event().wait(headstart)

        return f"{words}, {headstart} s before the next step", begin

    def _finalize(self, draw: Draw) -> Act:
        return "finalize", self._settled(self._administrator.end_way_back)

    def _pause(self, draw: Draw) -> Act:
        return "pause the suite", self._settled(self._administrator.pause)

    def _resume(self, draw: Draw) -> Act:
        return "resume", self._settled(self._administrator.resume)

    def _kill(self, draw: Draw) -> Act:
        tenants = [tenant for tenant in self._tenants if tenant.state != STOPPED]
        victim = draw(st.sampled_from([*COMPONENTS, SUITE, API_SERVER, *(LAUNCHER if tenants else ())]))
        if victim not in LAUNCHER:
            return f"kill {victim}", self._settled(partial(lose, victim))
        tenant = draw(st.sampled_from(tenants))
        return f"kill {victim} of {tenant}", self._settled(partial(tenant.lose, victim))

    def _one(self, draw: Draw, *states: str) -> Tenant:
        tenant: Tenant = draw(st.sampled_from([tenant for tenant in self._tenants if tenant.state in states]))
        return tenant

    def _settled(self, act: Callable[[], object]) -> Callable[[], object]:
        """The same, and the end of what is in progress."""

        def do() -> object:
            result = act()
            self._administrator.arrive()
            return result

        return do


SETTINGS = settings(
    max_examples=1,
    stateful_step_count=1 + STEPS,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def every_release(images_of_both_releases: None) -> Iterator[None]:
    """All nodes have the images of every build; this tree's is installed afterwards, whatever is final then."""
    pull(NEXT)
    yield
    Administrator.arriving(TODAY)


def sequence(number: int) -> None:
    """One sequence."""
    print(f"\nSEQUENCES_SEED={number}", flush=True)
    began = time.monotonic()
    machine: type[Sequence] = seed(number)(type("Sequence", (Sequence,), {}))
    run_state_machine_as_test(machine, settings=SETTINGS)
    if machine.failure is not None:
        raise machine.failure
    print(f"  {time.monotonic() - began:.0f} s", flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_promises_hold_after_each_step_of_a_random_sequence(number: int) -> None:
    sequence(FIRST + number)


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(int(os.environ.get("SEQUENCES", "50"))))
def test_promises_hold_after_each_step_of_many_random_sequences(number: int) -> None:
    sequence(FIRST + number)

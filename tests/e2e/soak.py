"""Hours of a cluster: users create, restart, migrate and delete guests at random, releases change there and back at
intervals, processes die. Used by test_soak.py.

What a step promises is checked by tenant.py and administrator.py. A guest for which something failed is removed, and
the others go on: a failure of the first minutes must not hide what hours show. After a change that fails nothing is
done any more.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.e2e.administrator import Administrator
from tests.e2e.builds import NEXT, TODAY, Build, by_image_tag, by_manifest
from tests.e2e.deaths import API_SERVER, SUITE, lose
from tests.e2e.killing import COMPONENTS
from tests.e2e.tenant import LAUNCHER, MEMORY, PAUSED, RUNNING, STOPPED, Tenant
from tests.e2e.travelling import Change

KINDS = ("bios", "uefi", "disk")
GUESTS = 2  # at once, beside the steady one: the machine has two processors
_LONGEST_HEADSTART = 15.0  # seconds of a change before somebody dies or does something
_DEATHS = 0.6  # of the changes; users do something during the others
_MOST_FAILURES = 5

Act = tuple[str, Callable[[], object]]
"""What is printed, and what is done. The first word is counted."""


@dataclass(slots=True)
class Soak:
    """Who acts. The same seed draws the same choices as long as each step takes as long."""

    admin: Administrator
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _tenants: list[Tenant] = field(default_factory=list)
    _steady: list[Tenant] = field(default_factory=list)
    """One whom nobody touches: its launcher is as old as the soak."""

    _created: int = 0
    _is_over: bool = False

    def run(self, seconds: float, between_changes: float) -> None:
        """Act for so long, with a change of the release and the way back each `between_changes` seconds."""
        began = time.monotonic()
        steady = Tenant("soak-steady", "bios")
        self._steady = [steady]
        self._take((f"create {steady}", steady.create), steady)
        next_change = began + between_changes
        while time.monotonic() < began + seconds and not self._is_over:
            if time.monotonic() >= next_change:
                self.there_and_back(self._drawn_way(), self._drawn_way(), disturbed=True)
                next_change += between_changes
            else:
                self._act()
            for tenant in self._everybody():
                self._take((f"check {tenant.name}", tenant.check), tenant, quiet=True)
        for tenant in self._everybody():
            self._take((f"delete {tenant}", tenant.remove))

    def there_and_back(self, there: Change, back: Change, *, disturbed: bool = False) -> None:
        """To the next release and back to this one; guests are there and processes die if it is `disturbed`."""
        for build, way in ((NEXT, there), (TODAY, back)):
            if not self._is_over:
                self._change(build, way, disturbed=disturbed)
            if disturbed and not self._is_over:
                self._act()

    def _change(self, build: Build, way: Change, *, disturbed: bool) -> None:
        self._administer((f"change to {build.name} {way.__name__}", partial(self.admin.change, build, way)))
        if disturbed and not self._is_over:
            threading.Event().wait(self.chance.uniform(0, _LONGEST_HEADSTART))
            if self.chance.random() < _DEATHS:
                victim = self.chance.choice([*COMPONENTS, SUITE, API_SERVER])
                self._administer((f"kill {victim}", partial(lose, victim)))
            else:
                self._act()
        if not self._is_over:
            self._administer((f"arrive at {build.name}", self._arrive))

    def _arrive(self) -> None:
        self.admin.arrive()
        self.admin.check()

    def _act(self) -> None:
        """One thing that a user does, or the death of a process of a guest."""
        running = [tenant for tenant in self._tenants if tenant.state == RUNNING]
        paused = [tenant for tenant in self._tenants if tenant.state == PAUSED]
        stopped = [tenant for tenant in self._tenants if tenant.state == STOPPED]
        alive = running + paused
        weighted: list[tuple[int, list[Tenant], Callable[[Tenant], Act]]] = [
            (1, self._tenants, lambda tenant: (f"delete {tenant}", partial(self._remove, tenant))),
            (1, self._tenants, self._edition),
            (4, alive, self._migration),
            (2, alive, lambda tenant: (f"restart {tenant}", tenant.restart)),
            (1, alive, lambda tenant: (f"stop {tenant}", tenant.stop)),
            (3, stopped, lambda tenant: (f"start {tenant}", tenant.start)),
            (1, running, lambda tenant: (f"pause {tenant}", tenant.pause)),
            (3, paused, lambda tenant: (f"unpause {tenant}", tenant.unpause)),
            (2, alive, self._death),
        ]
        possible = [(weight, tenants, act) for weight, tenants, act in weighted if tenants]
        if len(self._tenants) < GUESTS and (not possible or self.chance.random() < 0.5):
            tenant, act = self._creation()
        else:
            _, tenants, choice = self.chance.choices(possible, [weight for weight, _, _ in possible])[0]
            tenant = self.chance.choice(tenants)
            act = choice(tenant)
        self._take(act, tenant)

    def _everybody(self) -> list[Tenant]:
        return [*self._tenants, *self._steady]

    def _creation(self) -> tuple[Tenant, Act]:
        self._created += 1
        tenant = Tenant(f"soak{self._created}", self.chance.choice(KINDS))
        self._tenants.append(tenant)
        return tenant, (f"create {tenant}", tenant.create)

    def _remove(self, tenant: Tenant) -> None:
        self._tenants.remove(tenant)
        tenant.remove()

    def _edition(self, tenant: Tenant) -> Act:
        memory = self.chance.choice(MEMORY)
        path = ("template", "spec", "domain", "memory", "guest")
        return f"edit {tenant}: {memory}", partial(tenant.edit, *path, value=memory)

    def _migration(self, tenant: Tenant) -> Act:
        return f"migrate {tenant}", partial(tenant.migrate, may_fail=self.admin.in_progress)

    def _death(self, tenant: Tenant) -> Act:
        process = self.chance.choice(LAUNCHER)
        return f"kill {process} of {tenant}", partial(tenant.lose, process)

    def _drawn_way(self) -> Change:
        return self.chance.choice([by_manifest, by_image_tag])

    def _administer(self, act: Act) -> None:
        before = len(self.failures)
        self._take(act)
        self._is_over = self._is_over or len(self.failures) > before

    def _take(self, act: Act, tenant: Tenant | None = None, *, quiet: bool = False) -> None:
        """Do it and count it; a guest for which it fails is removed."""
        words, do = act
        began = time.monotonic()
        try:
            result = do() or "done"
        except Exception as error:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {words}: {error!r}"[:1500])
            print(f"  {words}: FAILED: {error!r}"[:3000], flush=True)
            self._is_over = self._is_over or len(self.failures) >= _MOST_FAILURES
            if tenant is not None:
                self._give_up(tenant)
            return
        self.done[words.split()[0]] += 1
        if not quiet:
            print(f"  {time.strftime('%H:%M:%S')} {words}: {result}, {time.monotonic() - began:.0f} s", flush=True)

    def _give_up(self, tenant: Tenant) -> None:
        for tenants in (self._tenants, self._steady):
            if tenant in tenants:
                tenants.remove(tenant)
        self._take((f"give up {tenant}", tenant.remove))

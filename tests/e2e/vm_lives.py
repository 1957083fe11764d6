"""Lives of VirtualMachines at random, beside what the run-strategy table says of each thing that happens to them.

A life knows how many VirtualMachineInstances there must have been, so a start too many or too few is an AssertionError
at the step where it is made. For tests that disturb virt-controller meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from virt_core.conventions.labels import CREATED_BY
from virt_core.kube.resource import PODS, VIRTUAL_MACHINE_INSTANCES

from tests.e2e.cluster import process
from tests.e2e.vm_fleet import FINAL, Fleet, Refused, guestless_vm

STRATEGIES = ("Always", "RerunOnFailure", "Manual", "Once", "Halted")
RUNNING, ENDED, NONE = "a running guest", "a guest that has ended", "no guest"
_STEP_SECONDS = 240.0
_RESTARTING = ("Always", "RerunOnFailure")


@dataclass(frozen=True, slots=True)
class State:
    """What a VirtualMachine comes to rest in."""

    strategy: str
    guest: str
    starts: int
    """VirtualMachineInstances that there have been."""

    def then(self, guest: str, *, starts: int = 0, strategy: str = "") -> State:
        """The next state."""
        return State(strategy or self.strategy, guest, self.starts + starts)


def first(strategy: str) -> State:
    """After the creation."""
    starts_itself = strategy not in ("Manual", "Halted")
    return State(strategy, RUNNING if starts_itself else NONE, int(starts_itself))


def possible(state: State) -> dict[str, State]:
    """What can happen in `state`, and what it leads to: KubeVirt's table."""
    strategy = state.strategy
    if state.guest == NONE:
        if strategy == "Halted":
            return {"start": state.then(RUNNING, starts=1, strategy="Always")}
        return {"start": state.then(RUNNING, starts=1)} if strategy in ("Manual", "RerunOnFailure") else {}
    if state.guest == ENDED:
        again = state.then(RUNNING, starts=1)
        return (
            {"stop": state.then(NONE, strategy="Halted")} if strategy == "Once" else {"start": again, "restart": again}
        )
    another = state.then(RUNNING, starts=1)
    halts = "Halted" if strategy in ("Always", "Once") else strategy
    found = {
        "stop": state.then(NONE, strategy=halts),
        "shutdown": {"Always": another, "RerunOnFailure": state.then(NONE)}.get(strategy, state.then(ENDED)),
        "crash": another if strategy in _RESTARTING else state.then(ENDED),
        "delete its guest": another if strategy in ("Always", "Once") else state.then(NONE),
    }
    if strategy != "Once":
        found["restart"] = another
    return found


@dataclass(slots=True)
class Life:
    """One VirtualMachine and what has become of it."""

    fleet: Fleet
    name: str
    state: State
    chance: random.Random
    steps: list[str]

    @classmethod
    def of(cls, fleet: Fleet, number: int, seed: int) -> Life:
        """The strategies take turns."""
        strategy = STRATEGIES[number % len(STRATEGIES)]
        return cls(fleet, f"life{number}", first(strategy), random.Random(f"{seed}/{number}"), [f"create {strategy}"])

    async def lead(self, goes_on: Callable[[], bool]) -> None:
        """Create it; step by step until nobody wants more."""
        await self.fleet.create(guestless_vm(self.name, self.state.strategy))
        await self._arrive()
        while goes_on() and (choices := possible(self.state)):
            await self.take(self.chance.choice(sorted(choices)))

    async def walk(self, steps: Iterable[str]) -> None:
        """Create it; take these steps."""
        await self.fleet.create(guestless_vm(self.name, self.state.strategy))
        await self._arrive()
        for step in steps:
            await self.take(step)

    async def take(self, step: str) -> None:
        """Take a step that is possible, and wait for what it leads to."""
        after = possible(self.state)[step]
        self.steps.append(step)
        await self._do(step)
        self.state = after
        await self._arrive()

    def check(self) -> None:
        """The promises at rest."""
        assert self._is_there(), str(self)
        status = self.fleet.vms[self.name]["status"]
        assert status["printableStatus"] == ("Running" if self.state.guest == RUNNING else "Stopped"), str(self)
        assert status.get("created", False) is (self.state.guest != NONE), str(self)
        assert "startFailure" not in status, str(self)

    async def _do(self, step: str) -> None:
        if step in ("start", "stop", "restart"):
            await self._request(step)
        elif step == "delete its guest":
            await self.fleet.client.delete(VIRTUAL_MACHINE_INSTANCES, self.fleet.namespace, self.name)
        else:
            # QEMU shuts down at SIGTERM as it does when the guest powers off
            await self._signal(signal.SIGTERM if step == "shutdown" else signal.SIGKILL)

    async def _request(self, verb: str) -> None:
        """As a user would: once more if something else is under way."""
        async with asyncio.timeout(_STEP_SECONDS):
            while True:
                try:
                    return await self.fleet.request(self.name, verb)
                except Refused as error:
                    assert error.code == 409, f"{self}: {error}"
                    await asyncio.sleep(0.5)

    async def _signal(self, number: signal.Signals) -> None:
        uid = self.fleet.vmis[self.name]["metadata"]["uid"]
        pods = await self.fleet.client.list(PODS, self.fleet.namespace, labels=f"{CREATED_BY}={uid}")
        (pod,) = (pod["metadata"]["uid"] for pod in pods)
        qemu = await asyncio.to_thread(process, pod, r"^\S*qemu-system")
        assert qemu is not None, f"{self}: no QEMU runs"
        os.kill(qemu.pid, number)

    async def _arrive(self) -> None:
        def arrived_or_too_far() -> bool:
            return self._is_there() or self._started > self.state.starts

        try:
            await self.fleet.until(arrived_or_too_far, str(self.state), _STEP_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{self}: {error}") from None
        assert self._started == self.state.starts, str(self)

    @property
    def _started(self) -> int:
        return len(self.fleet.uids.get(self.name, ()))

    def _is_there(self) -> bool:
        vm = self.fleet.vms.get(self.name)
        if vm is None or self._started != self.state.starts or vm["spec"]["runStrategy"] != self.state.strategy:
            return False
        return self._guest == self.state.guest and not vm.get("status", {}).get("stateChangeRequests")

    @property
    def _guest(self) -> str:
        vmi: dict[str, Any] | None = self.fleet.vmis.get(self.name)
        created = self.fleet.vms[self.name].get("status", {}).get("created", False)
        if vmi is None:
            return "a guest that is reported" if created else NONE
        phase, leaves = self.fleet.phase(self.name), "deletionTimestamp" in vmi["metadata"]
        if leaves or not created:
            return "a guest that comes or goes"
        return RUNNING if phase == "Running" else ENDED if phase in FINAL else phase

    def __str__(self) -> str:
        status = self.fleet.vms.get(self.name, {}).get("status")
        seen = f"{self._started} starts, phase {self.fleet.phase(self.name)!r}, status {status}"
        return f"{self.name}: {', '.join(self.steps)}: wants {self.state}, has {seen}"

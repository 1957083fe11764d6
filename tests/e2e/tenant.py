"""One VirtualMachine of a user at random: what he does with it, and what he is promised whatever becomes of the suite.

Used by test_random_sequences.py and soak.py. A pod asks the guest through its Service all the time: its boot ids tell
whether it is still the guest that was started, wherever it runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.cluster import apply, get, kubectl, until, wait
from tests.e2e.deaths import staying
from tests.e2e.guests import Guest
from tests.e2e.killing import are_replaced, victims
from tests.e2e.kinds import guest_of
from tests.e2e.left_behind import Listed, left_behind
from tests.e2e.migrations import Answers, asked, launchers, migrate
from tests.e2e.virtual_machines import another_guest_runs, has, removed_afterwards, request, vm_of

STOPPED, RUNNING, PAUSED = "stopped", "running", "paused"
MEMORY = ("208Mi", "224Mi")
LAUNCHER = ("launcher", "libvirtd")
"""Processes of a guest that may die without it."""

_SERVED_WITHIN = 60.0  # seconds while what serves a request is replaced
_STARTED_WITHIN, _BOOTS_WITHIN = 120, 120.0
_TICKS_WITHIN = 15.0  # seconds, on a busy machine
_CLEAN_WITHIN = 30.0
_MIGRATED_WITHIN = 180.0


@dataclass(slots=True)
class Tenant:
    """Before `create` there is nothing."""

    name: str
    kind: str
    state: str = STOPPED
    _spec: dict[str, Any] = field(default_factory=dict)
    """What the user wrote, with the defaults of its admission."""

    _guest_spec: dict[str, Any] = field(default_factory=dict)
    _starts: int = 0
    _pid: int = 0
    _migrations: int = 0
    _answers: Callable[[], Answers] | None = None
    _things: ExitStack = field(default_factory=ExitStack)

    def create(self) -> None:
        """Create it, and wait until the guest answers."""
        self._things.enter_context(removed_afterwards(self.name))
        body = vm_of(staying(guest_of(self.kind, self.name)))
        apply(body)
        self._spec = get("vm", self.name)["spec"]
        wait("vmi", self.name, "jsonpath={.status.phase}=Running", seconds=_STARTED_WITHIN)
        self._answers = self._things.enter_context(asked(self.name))
        self._started()

    def edit(self, *path: str, value: str) -> None:
        """Write a field of the spec; a running guest does not notice."""
        _write(self._spec, path, value)
        patch: dict[str, Any] = {}
        _write(patch, path, value)
        kubectl("patch", "vm", self.name, "--type=merge", "-p", json.dumps({"spec": patch}))

    def stop(self) -> None:
        """It has no guest."""
        request(self.name, "stop")
        wait("vmi", self.name, "delete", seconds=90)
        has(self.name, "Stopped")
        self._spec["runStrategy"] = "Halted"
        self.state = STOPPED

    def start(self) -> None:
        """It has another guest, with what was edited meanwhile."""
        request(self.name, "start")
        self._spec["runStrategy"] = "Always"
        has(self.name, "Running", _STARTED_WITHIN)
        self._started()

    def restart(self) -> None:
        """The same at once."""
        before = Guest(self.name).vmi["metadata"]["uid"]
        request(self.name, "restart")
        another_guest_runs(self.name, than=before)
        self._started()

    def pause(self) -> None:
        """The guest stands still."""
        self._command("pause")
        until(lambda: Guest(self.name).paused, f"{self.name} to be paused", 30)
        self.state = PAUSED

    def unpause(self) -> None:
        """It runs on."""
        self._command("unpause")
        until(lambda: not Guest(self.name).paused, f"{self.name} not to be paused", 30)
        self.state = RUNNING

    def migrate(self, *, may_fail: bool) -> str:
        """Move the guest to the other node; returns what came of it. It may fail while a handler is replaced."""
        self._migrations += 1
        name = f"{self.name}-{self._migrations}"
        until(lambda: Guest(self.name).condition("LiveMigratable").get("status") == "True", "LiveMigratable", 30)
        status = migrate(name, self.name, _MIGRATED_WITHIN)
        kubectl("delete", "vmim", name, "--wait", "--timeout=60s")
        assert status["phase"] == "Succeeded" or may_fail, status
        until(lambda: len(launchers(self.name)) == 1, f"one launcher pod of {self.name}", _CLEAN_WITHIN)
        self._pid = Guest(self.name).qemu_pid() if status["phase"] == "Succeeded" else self._pid
        return str(status["phase"])

    def lose(self, process: str) -> None:
        """A process of its launcher dies, and is replaced."""
        guests = [Guest(self.name)]
        killed = victims(process, guests)
        assert killed, f"{self.name} has no {process}"
        for victim in killed:
            victim.kill()
        until(lambda: are_replaced(process, guests, {victim.pid for victim in killed}), f"another {process}", 60)

    def remove(self) -> None:
        """Nothing of it is left."""
        self._things.close()
        until(lambda: not self._pods(), f"the launcher pods of {self.name} to go", _CLEAN_WITHIN)

    def check(self) -> None:
        """What was promised."""
        assert get("vm", self.name)["spec"] == self._spec, f"{self.name} is not what its user wrote"
        seen = Listed.now()
        if self.state == STOPPED:
            assert self.name not in seen.vmis
            until(lambda: not self._pods(), f"the launcher pods of {self.name} to go", _CLEAN_WITHIN)
            return
        guest, vmi = Guest(self.name), seen.vmis[self.name]
        assert vmi["status"]["phase"] == "Running", vmi["status"]
        assert vmi["spec"] == self._guest_spec, f"the guest of {self.name} is not what was started"
        assert guest.paused is (self.state == PAUSED), vmi["status"]
        assert guest.qemu_pid() == self._pid, f"{self.name} has another QEMU"
        if left := left_behind(seen, self.name):
            until(lambda: not left_behind(Listed.now(), self.name), f"{left} to go", _CLEAN_WITHIN)
        self._goes_on()

    def _started(self) -> None:
        self.state = RUNNING
        self._starts += 1
        until(lambda: len(self._read().boots) == self._starts, f"{self.name} to boot", _BOOTS_WITHIN)
        self._pid, self._guest_spec = Guest(self.name).qemu_pid(), Guest(self.name).vmi["spec"]
        wanted = self._spec["template"]["spec"]["domain"]["memory"]
        assert self._guest_spec["domain"]["memory"]["guest"] == wanted["guest"], "what was edited counts"

    def _goes_on(self) -> None:
        before = self._read()
        if self.state == RUNNING:
            until(lambda: self._read().count > before.count, f"{self.name} to tick", _TICKS_WITHIN)
        assert len(before.boots) == self._starts, f"{self.name} was started {self._starts} times: {before.boots}"

    def _command(self, verb: str) -> None:
        """Once more while the virt-handler of its node is replaced."""
        refusals: list[str] = []

        def is_served() -> bool:
            try:
                Guest(self.name).command(verb)
            except AssertionError as error:
                refusals.append(str(error))
                return False
            return True

        try:
            until(is_served, verb, _SERVED_WITHIN, every=1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {refusals}") from None
        if refusals:
            print(f"(refused {len(refusals)} times: {refusals[0][:200]}) ", end="", flush=True)

    def _pods(self) -> list[str]:
        return [name for name in Listed.now().pods if name.startswith(f"virt-launcher-{self.name}-")]

    def _read(self) -> Answers:
        assert self._answers is not None
        return self._answers()

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.state})"


def _write(body: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *folders, last = path
    for part in folders:
        body = body.setdefault(part, {})
    body[last] = value

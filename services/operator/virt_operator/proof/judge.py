"""Judges what a new pod has answered to its probes. Pure; called by prove.py.

A machine counts only if the API server had it on the node both before and after the handler was asked: one that was
created or ended in between proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from kubevirt.handler.v1 import probe_pb2
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.upgrade_status import SilentGuest

from virt_operator.peers.answer import Answer
from virt_operator.suite.observed import Fault

INFO, MACHINES, LAUNCHERS = "GetInfo", "machines", "launchers"
"""Names of the probes."""

_NAMED = 3  # machines in a message
_FINAL = ("Succeeded", "Failed")


class MachineStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What a probe depends on."""

    phase: str = ""
    active_pods: dict[str, str] = {}


class Machine(msgspec.Struct, frozen=True, rename="camel"):
    """A VirtualMachineInstance, as the API server lists it."""

    metadata: ObjectMeta
    status: MachineStatus = MachineStatus()


@dataclass(frozen=True, slots=True)
class Expected:
    """Machines of a node by UID, with their names."""

    seen: Mapping[str, str]
    """Those that the handler must see."""

    running: Collection[str]
    """Those of them whose launcher must answer."""


def decoded(listed: Iterable[Mapping[str, Any]]) -> Iterator[Machine]:
    """The machines of a list, without those that do not decode: no handler can run them."""
    for body in listed:
        try:
            yield msgspec.convert(body, Machine)
        except msgspec.ValidationError:
            continue


def expected(machines: Iterable[Machine], node: str) -> Expected:
    """What the handler of `node` must know, if the API server has these."""
    here = [
        machine
        for machine in machines
        if machine.status.phase not in _FINAL and node in machine.status.active_pods.values()
    ]
    names = {machine.metadata.uid: f"{machine.metadata.namespace}/{machine.metadata.name}" for machine in here}
    running = {
        machine.metadata.uid
        for machine in here
        if machine.status.phase == "Running" and machine.metadata.deletion_timestamp is None
    }
    return Expected(names, running)


def info_fault(answer: Answer, release: str, feature_level: int, limit: float) -> Fault | None:
    """Whether the process is of the release that it shall be of; it had `limit` seconds for its answer."""
    if answer.info is None:
        return Fault(INFO, f"no answer within {limit:.0f} s: {answer.problem}")
    if answer.info.release != release:
        return Fault(INFO, f"is release {answer.info.release!r}, not {release!r}")
    if answer.info.feature_level != feature_level:
        return Fault(INFO, f"has feature level {answer.info.feature_level}, not {feature_level}")
    return None


def machines_fault(
    before: Expected,
    after: Expected,
    reported: Sequence[probe_pb2.ProbedMachine],
    excused: Collection[str] = (),
) -> Fault | None:
    """Whether the handler sees each machine, and each running one's launcher answers through it. Launchers of the
    `excused` machines need not: they did not answer the handler of before either."""
    seen = {machine.machine.uid for machine in reported}
    missing = sorted(before.seen[uid] for uid in before.seen.keys() & after.seen.keys() if uid not in seen)
    if missing:
        return Fault(MACHINES, f"does not see {_listed(missing)}")
    silent = [guest for guest in silent_guests(before, after, reported) if guest.uid not in excused]
    if silent:
        reasons = [guest.message for guest in silent if guest.message]
        why = f": {reasons[0]}" if reasons else ""
        return Fault(LAUNCHERS, f"does not reach the launcher of {_listed([guest.object for guest in silent])}{why}")
    return None


def silent_guests(
    before: Expected, after: Expected, reported: Iterable[probe_pb2.ProbedMachine]
) -> tuple[SilentGuest, ...]:
    """The running machines that the handler sees and whose launchers have not answered it, by name."""
    answered = {machine.machine.uid for machine in reported if machine.launcher_answered}
    messages = {machine.machine.uid: machine.message for machine in reported}
    silent = {uid for uid in before.running if uid in after.running and uid in messages} - answered
    found = (SilentGuest(uid, before.seen[uid], messages[uid]) for uid in silent)
    return tuple(sorted(found, key=lambda guest: guest.object))


def _listed(names: list[str]) -> str:
    kind = "VirtualMachineInstance" if len(names) == 1 else f"{len(names)} VirtualMachineInstances:"
    return f"{kind} {', '.join((*names[:_NAMED], *(['…'] if len(names) > _NAMED else [])))}"

"""The actions of a command in each state of the machine."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from kubevirt.launcher.v1 import command_pb2, machine_pb2, state_pb2
from virt_launcher.domain.observation import DomainPhase, Observation
from virt_launcher.errors import CommandRefused
from virt_launcher.machine.actions import PressRebootButton, RecordWanted, Reset, StartCpus
from virt_launcher.machine.commands import steps
from virt_launcher.machine.record import Record

MACHINE = machine_pb2.Machine(uid="u")
RAN = Record(MACHINE, state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
PAUSED = replace(RAN, wanted=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_PAUSED))
UNPAUSED = replace(RAN, wanted=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
FROM_THE_START = replace(RAN, machine=machine_pb2.Machine(uid="u", start_paused=True))
ENDED = replace(RAN, ended=state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ENDED))
STANDING, STALLED, RUNNING = (
    Observation(phase) for phase in (DomainPhase.STANDING, DomainPhase.STALLED, DomainPhase.RUNNING)
)
PAUSE, UNPAUSE = command_pb2.Command(pause=command_pb2.Pause()), command_pb2.Command(unpause=command_pb2.Unpause())
RESET, SOFT_REBOOT = (
    command_pb2.Command(reset=command_pb2.Reset()),
    command_pb2.Command(soft_reboot=command_pb2.SoftReboot()),
)


@pytest.mark.parametrize(
    ("command", "record", "seen", "expected"),
    [
        (PAUSE, RAN, RUNNING, (RecordWanted(paused=True),)),
        (PAUSE, UNPAUSED, RUNNING, (RecordWanted(paused=True),)),
        (PAUSE, RAN, STALLED, (RecordWanted(paused=True),)),
        (PAUSE, PAUSED, STANDING, ()),
        (PAUSE, FROM_THE_START, STANDING, ()),
        (UNPAUSE, RAN, RUNNING, ()),
        (UNPAUSE, PAUSED, STANDING, (RecordWanted(paused=False),)),
        (UNPAUSE, FROM_THE_START, STANDING, (RecordWanted(paused=False),)),
        (UNPAUSE, RAN, STALLED, (StartCpus(),)),
        (UNPAUSE, PAUSED, STALLED, (RecordWanted(paused=False), StartCpus())),
        (RESET, RAN, RUNNING, (Reset(),)),
        (RESET, PAUSED, STANDING, (Reset(),)),
        (SOFT_REBOOT, RAN, RUNNING, (PressRebootButton(),)),
    ],
)
def test_command_is_done_unless_its_effect_is_there(
    command: command_pb2.Command, record: Record, seen: Observation, expected: tuple[object, ...]
) -> None:
    assert steps(command, record, seen, stopping=False) == expected


def test_machine_that_does_not_run_refuses_everything() -> None:
    gone = [Observation(phase) for phase in (DomainPhase.ABSENT, DomainPhase.SHUTOFF, DomainPhase.PANICKED)]
    cases = [(RAN, seen) for seen in gone] + [(Record(MACHINE), STANDING), (ENDED, RUNNING)]
    for command, (record, seen) in itertools.product((PAUSE, UNPAUSE, RESET, SOFT_REBOOT), cases):
        with pytest.raises(CommandRefused) as refused:
            steps(command, record, seen, stopping=False)
        assert refused.value.reason == "NOT_RUNNING"


def test_machine_that_is_being_stopped_takes_no_commands() -> None:
    with pytest.raises(CommandRefused) as refused:
        steps(PAUSE, RAN, RUNNING, stopping=True)
    assert refused.value.reason == "STOPPING"


@pytest.mark.parametrize("seen", [STANDING, STALLED])
def test_stopped_guest_cannot_reboot_softly(seen: Observation) -> None:
    with pytest.raises(CommandRefused) as refused:
        steps(SOFT_REBOOT, PAUSED, seen, stopping=False)
    assert refused.value.reason == "PAUSED"


@pytest.mark.parametrize("command", [command_pb2.Command(), command_pb2.Command(freeze=command_pb2.Freeze())])
def test_what_is_not_for_the_hypervisor_is_refused(command: command_pb2.Command) -> None:
    with pytest.raises(CommandRefused) as refused:
        steps(command, RAN, RUNNING, stopping=False)
    assert refused.value.reason == "NOT_SUPPORTED"

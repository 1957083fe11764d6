"""What a command means for a machine in each state."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from kubevirt.launcher.v1 import launcher_pb2 as pb
from virt_launcher.domain.observation import DomainPhase, Observation
from virt_launcher.errors import CommandRefused
from virt_launcher.machine.actions import PressRebootButton, RecordWanted, Reset, StartCpus
from virt_launcher.machine.commands import steps
from virt_launcher.machine.record import Record

MACHINE = pb.Machine(uid="u")
RAN = Record(MACHINE, pb.MachineState(phase=pb.MACHINE_PHASE_RUNNING))
PAUSED = replace(RAN, wanted=pb.MachineState(phase=pb.MACHINE_PHASE_PAUSED))
UNPAUSED = replace(RAN, wanted=pb.MachineState(phase=pb.MACHINE_PHASE_RUNNING))
FROM_THE_START = replace(RAN, machine=pb.Machine(uid="u", start_paused=True))
ENDED = replace(RAN, ended=pb.MachineState(phase=pb.MACHINE_PHASE_ENDED))
STANDING, STALLED, RUNNING = (
    Observation(phase) for phase in (DomainPhase.STANDING, DomainPhase.STALLED, DomainPhase.RUNNING)
)
PAUSE, UNPAUSE = pb.Command(pause=pb.Pause()), pb.Command(unpause=pb.Unpause())
RESET, SOFT_REBOOT = pb.Command(reset=pb.Reset()), pb.Command(soft_reboot=pb.SoftReboot())


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
    command: pb.Command, record: Record, seen: Observation, expected: tuple[object, ...]
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
def test_guest_that_stands_still_cannot_be_asked_to_reboot(seen: Observation) -> None:
    with pytest.raises(CommandRefused) as refused:
        steps(SOFT_REBOOT, PAUSED, seen, stopping=False)
    assert refused.value.reason == "PAUSED"


@pytest.mark.parametrize("command", [pb.Command(), pb.Command(freeze=pb.Freeze())])
def test_what_is_not_for_the_hypervisor_is_refused(command: pb.Command) -> None:
    with pytest.raises(CommandRefused) as refused:
        steps(command, RAN, RUNNING, stopping=False)
    assert refused.value.reason == "NOT_SUPPORTED"

"""Translates a command to actions, depending on the machine's state. Pure; called by keeper.py.

A command that has already taken effect needs no action. agent/keeper.py handles the commands for the guest agent.
"""

from __future__ import annotations

from kubevirt.launcher.v1 import command_pb2

from virt_launcher.domain.observation import DomainPhase, Observation
from virt_launcher.errors import CommandRefused
from virt_launcher.machine.actions import Action, PressRebootButton, RecordArrived, RecordWanted, Reset, StartCpus
from virt_launcher.machine.record import Record

_GUEST_EXISTS = frozenset({DomainPhase.STANDING, DomainPhase.MIGRATING, DomainPhase.STALLED, DomainPhase.RUNNING})


def steps(command: command_pb2.Command, record: Record, seen: Observation, *, stopping: bool) -> tuple[Action, ...]:
    """The actions in order. plan.py finds the remaining actions by itself.

    Raises:
        CommandRefused: the machine's state does not allow the command.
    """
    if record.running is None or record.ended is not None or seen.phase not in _GUEST_EXISTS:
        raise CommandRefused("the machine does not run", reason="NOT_RUNNING")
    if stopping:
        raise CommandRefused("the machine is being stopped", reason="STOPPING")
    require_settled(record)
    kind = command.WhichOneof("command")
    if kind == "pause":
        return () if record.pause_wanted else (RecordWanted(paused=True),)
    if kind == "unpause":
        wanted = (RecordWanted(paused=False),) if record.pause_wanted else ()
        return (*wanted, StartCpus()) if seen.phase is DomainPhase.STALLED else wanted
    if kind == "reset":
        return (Reset(),)
    if kind == "soft_reboot":
        if seen.phase is not DomainPhase.RUNNING:
            raise CommandRefused("the guest's CPUs are stopped", reason="PAUSED")
        return (PressRebootButton(),)
    raise CommandRefused(f"{kind or 'no command'} is not for the hypervisor", reason="NOT_SUPPORTED")


def require_settled(record: Record) -> None:
    """Refuse while a migration decides where the guest runs. libvirt would keep a reset until the copy has ended, and
    carry it out when its caller has long been told that it failed.

    Raises:
        CommandRefused: the guest is being migrated.
    """
    if record.copying or record.switched:
        raise CommandRefused(
            "the machine is being migrated, try again when the migration has ended", reason="MIGRATING"
        )


def commit(record: Record, seen: Observation, *, stopping: bool, paused: bool) -> tuple[Action, ...]:
    """The actions that keep a guest that its migration's source has given up. plan.py then starts its CPUs.

    Raises:
        CommandRefused: it has not arrived completely.
    """
    if not record.awaited and record.running is not None:
        return ()
    if stopping or record.ended is not None or seen.phase is not DomainPhase.STANDING:
        raise CommandRefused("the guest has not arrived completely", reason="NOT_ARRIVED")
    return (RecordArrived(paused),)

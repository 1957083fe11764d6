"""virt-freezer: freezes and thaws the guest's file systems. Backup tools run it in container `compute` by exec.

    virt-freezer --freeze|--unfreeze [--name NAME] [--namespace NAMESPACE] [--unfreezeTimeoutSeconds SECONDS]

The command line and the exit statuses are KubeVirt's: 0 also if the guest has no agent, so that a backup of a guest
without one does not fail; 1 if it failed; 2 if the command line is wrong. It calls the launcher's socket as the handler
does, because the launcher thaws by itself when the time is over. Decides nothing about the guest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kubevirt.launcher.v1 import command_pb2, launcher_pb2, launcher_pb2_grpc, machine_pb2, state_pb2
from virt_core.conventions import components
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer

from virt_launcher.machine.record import RecordFolder
from virt_launcher.settings import Settings

# A freeze first writes what the guest has not written yet: the launcher waits for its agent for 100 s at most.
_TIMEOUT = 120.0  # seconds
_DEFAULT_UNFREEZE = 300  # seconds
_NO_AGENT = "No guest agent, exiting"


class Failed(Exception):
    """The file systems are not as they were to be: why."""


@dataclass(frozen=True, slots=True)
class Call:
    """The command line. An empty name or namespace is any."""

    freeze: bool
    name: str
    namespace: str
    unfreeze_after: int


def parse(arguments: Sequence[str]) -> Call:
    """Read the command line. Raises SystemExit with status 2."""
    parser = argparse.ArgumentParser(prog="virt-freezer", allow_abbrev=False)
    verbs = parser.add_mutually_exclusive_group(required=True)
    verbs.add_argument("--freeze", "-f", action="store_true", help="freeze the guest's file systems")
    verbs.add_argument("--unfreeze", "-u", action="store_true", help="thaw them")
    parser.add_argument("--name", "-n", default="", help="name of the VirtualMachineInstance")
    parser.add_argument("--namespace", "-s", default="", help="its namespace")
    parser.add_argument(
        "--unfreezeTimeoutSeconds",
        "-t",
        dest="unfreeze_after",
        type=int,
        default=_DEFAULT_UNFREEZE,
        help="the launcher thaws them after this time by itself; 300 by default, and for 0",
    )
    options = parser.parse_args(arguments)
    return Call(options.freeze, options.name, options.namespace, options.unfreeze_after)


async def run(call: Call, settings: Settings) -> str:
    """Do what the command line says; what to print.

    Raises:
        Failed: it was not done.
    """
    machine = RecordFolder(settings.state_folder).record.machine
    if machine is None:
        raise Failed("the launcher has no machine yet")
    _require_name(machine, call)
    peer = Peer(f"unix:{settings.socket}", name=components.LAUNCHER)
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await _command(call, machine.uid, peer)
    except RpcError as error:
        raise Failed(str(error)) from error
    except TimeoutError as error:
        raise Failed(f"virt-launcher did not answer within {_TIMEOUT:.0f} s") from error
    finally:
        await peer.close()


async def _command(call: Call, uid: str, peer: Peer) -> str:
    stub: launcher_pb2_grpc.LauncherServiceAsyncStub = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    state = await _state(stub, peer)
    if state.phase not in (state_pb2.MACHINE_PHASE_RUNNING, state_pb2.MACHINE_PHASE_PAUSED):
        raise Failed("the guest does not run")
    if not state.HasField("agent"):
        return _NO_AGENT
    command = command_pb2.Command(unfreeze=command_pb2.Unfreeze())
    if call.freeze:
        command = command_pb2.Command(freeze=command_pb2.Freeze())
        command.freeze.unfreeze_after.FromSeconds(call.unfreeze_after)
    request = launcher_pb2.CommandMachineRequest(machine_uid=uid, command=command)
    await peer.call(stub.CommandMachine, request, timeout=_TIMEOUT)
    return "frozen" if call.freeze else "thawed"


async def _state(stub: launcher_pb2_grpc.LauncherServiceAsyncStub, peer: Peer) -> state_pb2.MachineState:
    """The first message of a watch is the whole current state."""
    states = peer.stream(stub.WatchMachine, launcher_pb2.WatchMachineRequest(), idle=_TIMEOUT, lifetime=_TIMEOUT)
    async with contextlib.aclosing(states):
        async for response in states:
            state: state_pb2.MachineState = response.state
            return state
    raise Failed("virt-launcher ended its watch")


def _require_name(machine: machine_pb2.Machine, call: Call) -> None:
    for option, wanted, found in (
        ("--namespace", call.namespace, machine.namespace),
        ("--name", call.name, machine.name),
    ):
        if wanted and wanted != found:
            raise Failed(f'{option}: "{wanted}" is not in this pod, use "{found}"')


def main(arguments: Sequence[str]) -> int:
    """The program; its exit status."""
    call = parse(arguments)
    try:
        sys.stderr.write(f"virt-freezer: {asyncio.run(run(call, Settings()))}\n")
    except Failed as error:
        sys.stderr.write(f"virt-freezer: {'freezing' if call.freeze else 'thawing'} failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

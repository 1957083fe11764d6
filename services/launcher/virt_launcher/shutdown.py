"""Handles SIGTERM: the pod is being deleted. Started by app.py as a task.

Requests a shutdown from a running guest and destroys it after its grace period. How it ended is written to the
container's termination message, from which the controller records the end of a deleted VirtualMachineInstance. A
connected handler gets a moment to record the end and to acknowledge it. Then the process exits with status 0, and the
supervisor ends the container. If the launcher is killed meanwhile, the supervisor sends the signal to its successor.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from kubevirt.launcher.v1 import state_pb2
from virt_core import logs
from virt_core.conventions.launcher_pod import GUEST_DESTROYED, GUEST_SHUTDOWN

from virt_launcher.machine.keeper import Keeper

_log = logs.bound("virt_launcher.shutdown")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# The handler needs about 20 ms to write the end to the API server. It waits longer only for an eviction's reason.
_ACKNOWLEDGEMENT = 1.0  # seconds
_OVER = frozenset({state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_PHASE_MIGRATED})
_WORDS = {state_pb2.MACHINE_END_SHUTDOWN: GUEST_SHUTDOWN, state_pb2.MACHINE_END_DESTROYED: GUEST_DESTROYED}


def catch_signals() -> asyncio.Event:
    """An event that is set by SIGTERM or SIGINT, also if the signal arrived earlier: the supervisor starts this process
    with both blocked."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return stopping


async def stop_guest(
    stopping: asyncio.Event, keeper: Keeper, finished: asyncio.Event, termination_message: Path
) -> None:
    """Wait for the signal, end the guest, write how it ended to `termination_message`, then set `finished`."""
    await stopping.wait()
    machine = keeper.record.machine
    if machine is not None:
        grace = machine.shutdown_grace_period.ToNanoseconds() / 1e9
        _log.info("stopping the machine", machine_uid=machine.uid, grace=grace)
        keeper.request_stop(grace)
        await keeper.published.until(lambda state: state.phase in _OVER)
        record_end(keeper.published.state.end, termination_message)
        # Of a guest that runs elsewhere there is no end to acknowledge.
        if keeper.published.readers and not keeper.record.switched:
            await _acknowledgement(finished)
    _log.info("ending")
    finished.set()


async def _acknowledgement(finished: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_ACKNOWLEDGEMENT):
            await finished.wait()
    except TimeoutError:
        _log.info("ending without the handler's acknowledgement")


def record_end(end: state_pb2.MachineEnd.ValueType, termination_message: Path) -> None:
    """Write the word for `end`, if there is one, to the file that the kubelet has mounted. Outside of a pod the file
    does not exist and is not created."""
    if end not in _WORDS:
        return
    try:
        with termination_message.open("r+") as file:
            file.write(_WORDS[end])
    except OSError as error:
        _log.warning("ending without a termination message", reason=str(error))

"""What SIGTERM means: the pod is being deleted. Started by app.py as one task.

A running guest is asked to shut down and destroyed when its own grace period is over. How it ended goes into the
container's termination message, by which the controller records the end of a VirtualMachineInstance that is deleted.
A handler that follows the machine gets a moment to record the end and to acknowledge it. The process then ends with
status 0, at which the supervisor ends the container. A launcher that is killed meanwhile gets the signal again.
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
# The handler writes the end to the API server, some 20 ms. It waits longer only for the reason of an eviction.
_ACKNOWLEDGEMENT_S = 1.0
_WORDS = {state_pb2.MACHINE_END_SHUTDOWN: GUEST_SHUTDOWN, state_pb2.MACHINE_END_DESTROYED: GUEST_DESTROYED}


def catch_signals() -> asyncio.Event:
    """An event that is set by SIGTERM or SIGINT, also by one that came before now: the supervisor starts this
    process with both blocked."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return stopping


async def stop_guest(
    stopping: asyncio.Event, keeper: Keeper, finished: asyncio.Event, termination_message: Path
) -> None:
    """Wait for the signal, end the guest, record how in `termination_message`, then set `finished`."""
    await stopping.wait()
    machine = keeper.record.machine
    if machine is not None:
        grace_s = machine.shutdown_grace_period.ToNanoseconds() / 1e9
        _log.info("stopping the machine", machine_uid=machine.uid, grace_s=grace_s)
        keeper.request_stop(grace_s)
        await keeper.published.until(lambda state: state.phase == state_pb2.MACHINE_PHASE_ENDED)
        record_end(keeper.published.state.end, termination_message)
        if keeper.published.readers:
            await _acknowledgement(finished)
    _log.info("ending")
    finished.set()


async def _acknowledgement(finished: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_ACKNOWLEDGEMENT_S):
            await finished.wait()
    except TimeoutError:
        _log.info("ending without the handler's acknowledgement")


def record_end(end: state_pb2.MachineEnd.ValueType, termination_message: Path) -> None:
    """Write the word for `end`, if there is one, to the file that the kubelet has mounted. Outside of a pod there is
    none, and none is made."""
    if end not in _WORDS:
        return
    try:
        with termination_message.open("r+") as file:
            file.write(_WORDS[end])
    except OSError as error:
        _log.warning("ending without a termination message", reason=str(error))

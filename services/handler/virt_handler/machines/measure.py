"""Asks the launchers of this node what their guests use, when Prometheus asks. Called by reconcile.py.

All at once, each with a deadline: a launcher that hangs costs its guest's numbers, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from kubevirt.launcher.v1 import launcher_pb2, statistics_pb2
from virt_core import logs
from virt_core.conventions import launcher_features
from virt_core.rpc.errors import RpcError
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, printable
from virt_handler.machines.link import Disconnected, MachineLink

_DEADLINE = 3.0  # seconds
_log = logs.bound("virt_handler.machines.measure")


@dataclass(frozen=True, slots=True)
class Measured:
    """A guest with what its launcher says. The launcher is the guest's side: numbers are only shown, and names are held
    to those of the spec."""

    vmi: VirtualMachineInstance
    statistics: statistics_pb2.MachineStatistics


async def measure(guests: Iterable[tuple[VirtualMachineInstance, MachineLink]]) -> list[Measured]:
    """Of each guest whose launcher answers in time."""
    answers = await asyncio.gather(*(_ask(vmi, link) for vmi, link in guests))
    return [measured for measured in answers if measured is not None]


async def _ask(vmi: VirtualMachineInstance, link: MachineLink) -> Measured | None:
    request = launcher_pb2.GetStatisticsRequest(machine_uid=vmi.metadata.uid)
    try:
        async with link.launcher() as launcher:
            info = launcher.peer.info
            if info is None or launcher_features.STATISTICS not in info.features:
                return None
            answer = await launcher.peer.call(launcher.stub.GetStatistics, request, timeout=_DEADLINE)
    except Disconnected:
        return None
    except RpcError as error:
        reason = printable(str(error), MESSAGE_LENGTH)
        _log.debug("not measuring the guest", vmi="/".join(vmi.key), reason=reason)
        return None
    return Measured(vmi, answer.statistics)

"""Readers follow the machine's state from change to change, to its end."""

from __future__ import annotations

import asyncio

from kubevirt.launcher.v1 import state_pb2
from virt_launcher.machine.publication import Publication


async def test_a_reader_waits_for_the_next_state() -> None:
    published = Publication(state_pb2.MachineState())
    reader = asyncio.create_task(published.newer_than(0))
    await published.publish(state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING))
    assert await reader
    assert published.revision == 1


async def test_a_reader_with_the_last_state_is_dismissed_when_nothing_more_will_come() -> None:
    published = Publication(state_pb2.MachineState())
    await published.publish(state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ENDED))
    reader = asyncio.create_task(published.newer_than(1))
    await published.close()
    assert not await reader


async def test_a_late_reader_still_gets_the_last_state() -> None:
    published = Publication(state_pb2.MachineState())
    await published.publish(state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ENDED))
    await published.close()
    assert await published.newer_than(0)
    assert not await published.newer_than(published.revision)

"""A guest that moves on and on, each time to a new pod, and what it finds there of its memory and disks.

Used by test_migration_between_releases.py. What it runs is tests/support/travelling_guest.sh.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb

from tests import support
from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.guest_shell import shell
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import LauncherPair, Side
from tests.integration.launcher.migrating_disks import MIB, disks, place
from tests.support.moves import Move, troubles
from tests.support.patience import PATIENCE

_UID = "6d1c3f0a-0000-4000-8000-{:012d}"
_USER_DATA = Path(support.__file__).with_name("travelling_guest.sh")
_TICKS = 7777


class TravellingGuest:
    """The guest, in a pod of `source`; the next one is of `target`."""

    def __init__(self, source: Images, target: Images) -> None:
        self._pair = LauncherPair(source, target)
        self._sides = [*self._pair.sides]
        self._content = os.urandom(8 * MIB)
        self._moves, self._boot = 0, b""

    async def start(self, machine_type: str, bootloader: machine_pb2.Bootloader.ValueType) -> None:
        """Returns when the guest is prepared for the first move."""
        await self._pair.bring_up()
        source = self._pair.source
        machine = source.machine(memory_bytes=256 * MIB, machine_type=machine_type, bootloader=bootloader)
        machine.kernel_boot.command_line += " ticks=off"
        machine.disks.extend(disks(*self._pair.sides, content=self._content))
        machine.disks[2].cloud_init.user_data = _USER_DATA.read_bytes()
        machine.disks[4].bus, machine.disks[4].serial = machine_pb2.DISK_BUS_SCSI, "cd"
        self._machine = machine
        state = await source.start_machine(machine)
        assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, state
        await source.wait_for_console(b"guest-demo: lease ", b"\n")
        await source.wait_for_console(b"travelling guest: ", b"prepared")

    async def next_pod(self, images: Images) -> None:
        """Make another pod, to which the guest moves next."""
        self._pair = self._pair.onward(images)
        self._sides.append(self._pair.target)
        await self._pair.target.bring_up()
        place(self._pair.target, self._content, self._pair.source)
        await self._pair.join()

    async def move(self) -> Move:
        """Renew the disks, move the guest while it writes, compare; the pod that it left is gone."""
        source, target = self._pair.sides
        direction = f"{qemu_version(source)} to {qemu_version(target)}"
        self._moves += 1
        renewed = await shell(source, b"renew %d" % self._moves)
        before, (boot, tick) = await shell(source, b"sums"), await ticking(source)
        self._boot = self._boot or boot
        await source.type(b"keep-writing &\n")
        began = asyncio.get_running_loop().time()
        moved = await self._migrate()
        seconds = asyncio.get_running_loop().time() - began
        written = await shell(target, b"stop-writing")
        after, (later_boot, later_tick) = await shell(target, b"sums"), await ticking(target)
        assert later_boot == boot == self._boot and later_tick > tick
        await self._leave()
        found = [] if renewed == b"renewed" else [renewed.decode()]
        found += troubles(before.decode(), after.decode(), written.decode())
        return Move(direction, seconds, " ".join(found), moved.downtime_ms)

    async def _migrate(self) -> pb.MigrationState:
        source, target = self._pair.sides
        handlers = Handlers(_UID.format(self._moves), source, target, self._machine)
        await handlers.start(await handlers.prepare())
        moved = await handlers.until_phase(pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED)
        assert moved.phase == pb.MIGRATION_PHASE_COMMITTED, (moved, source.log[-3000:], target.qemu_log()[-3000:])
        await target.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
        return moved

    async def _leave(self) -> None:
        """The source ends, and ran the guest only before the target."""
        source, target = self._pair.sides
        await source.wait_for_phase(state_pb2.MACHINE_PHASE_ENDED)
        await source.acknowledge_end(state_pb2.MACHINE_END_MIGRATED)
        assert await source.exit_status() == 0
        ran = [running_times(self._pair.events[side.name].all) for side in (source, target)]
        assert [len(times) for times in ran] == [1, 1], ran
        assert ran[0][0][1] < ran[1][0][0], "both ran"
        await self._pair.events[source.name].stop()
        self._sides.remove(source)
        await source.remove()

    async def remove(self) -> None:
        """Leave nothing."""
        for events in self._pair.events.values():
            await events.stop()
        for side in self._sides:
            await side.remove()


async def ticking(side: Side) -> tuple[bytes, int]:
    """The guest's boot id and the number of its last tick, by its network."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await side.connect(_TICKS)
        line = await reader.readline()
        writer.close()
    found = re.fullmatch(rb"tick (\d+) uptime=\S+ boot=(\S+)\n", line)
    assert found is not None, line
    return found[2], int(found[1])


def qemu_version(side: Side) -> str:
    """QEMU's version in a pod, for example 7.2."""
    found = re.search(r"version (\d+\.\d+)", side.run_inside("/usr/bin/qemu-system-x86_64", "--version").stdout)
    assert found is not None
    return found[1]

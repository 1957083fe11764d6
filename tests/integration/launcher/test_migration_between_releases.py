"""A guest moves between launchers of two Debian releases, with different QEMU and libvirt, and back.

Skipped where only one of them was built: `LAUNCHER_BASE=trixie make images` builds the other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from kubevirt.launcher.v1 import migration_pb2 as pb
from localcluster import base_image
from localcluster.settings import Cluster

from tests.integration.launcher.domain_events import running_times
from tests.integration.launcher.handlers import Handlers
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import MIGRATION, LauncherPair
from tests.integration.launcher.migrating_disks import MIB, disks

BOTH_KNOW = "pc-q35-7.2"
OLD, NEW = base_image.LAUNCHER_SUITES


@pytest.fixture(scope="module")
def both(images_of: Callable[[str], Images]) -> dict[str, Images]:
    """The images of both."""
    store = Cluster.load().cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    names = subprocess.run([*buildah, "images", "--format", "{{.Name}}:{{.Tag}}"], capture_output=True, check=True)
    if f"localhost/debian:{NEW}-".encode() not in names.stdout:
        pytest.skip(f"no base image of {NEW}: run LAUNCHER_BASE={NEW} make images")
    return {suite: images_of(suite) for suite in (OLD, NEW)}


@pytest.mark.slow
@pytest.mark.parametrize("uefi", [False, True], ids=["BIOS", "UEFI"])
@pytest.mark.parametrize(("source", "target"), [(OLD, NEW), (NEW, OLD)])
async def test_guest_moves_to_the_other_release(both: dict[str, Images], source: str, target: str, uefi: bool) -> None:
    pair = LauncherPair(both[source], both[target])
    try:
        await pair.bring_up()
        machine = pair.source.machine(disks=disks(*pair.sides), memory_bytes=256 * MIB, machine_type=BOTH_KNOW)
        if uefi:
            machine.bootloader = machine_pb2.BOOTLOADER_UEFI
        state = await pair.source.start_machine(machine)
        assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, state
        await pair.source.wait_for_console(b"guest-demo login: ", b"ready")
        handlers = Handlers(MIGRATION, pair.source, pair.target, machine)
        await handlers.start(await handlers.prepare())
        moved = await handlers.until_phase(pb.MIGRATION_PHASE_COMMITTED, pb.MIGRATION_PHASE_ABORTED)
        assert moved.phase == pb.MIGRATION_PHASE_COMMITTED, (moved, pair.target.qemu_log()[-3000:])
        print(f"{source} to {target}, {'UEFI' if uefi else 'BIOS'}: downtime {moved.downtime_ms} ms")
        await pair.target.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
        await pair.target.wait_for_console(b"tick ", b"boot=")
        ran = [running_times(pair.events[side.name].all) for side in pair.sides]
        assert ran[0][0][1] < ran[1][0][0], "both ran"
    finally:
        await pair.remove()

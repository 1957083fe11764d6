"""A guest moves between launchers of two Debian releases, with different QEMU and libvirt, there and back.

Skipped where only one of them was built: `make images RELEASE=0.1.0` builds the older one. ROUND_TRIPS is how often
there and back; -s shows each move.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from kubevirt.launcher.v1 import machine_pb2
from localcluster import base_image
from localcluster.settings import Cluster

from tests.integration.launcher.images import Images
from tests.integration.launcher.travelling_guest import TravellingGuest
from tests.support.moves import Move, table

BOTH_KNOW = "pc-q35-7.2"
OLD, NEW = base_image.LAUNCHER_SUITES
FIRMWARE = pytest.mark.parametrize("firmware", ["BIOS", "UEFI"])

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(images_of: Callable[[str], Images]) -> dict[str, Images]:
    """The images of both."""
    store = Cluster.load().cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    names = subprocess.run([*buildah, "images", "--format", "{{.Name}}:{{.Tag}}"], capture_output=True, check=True)
    if f"localhost/debian:{NEW}-".encode() not in names.stdout:
        pytest.skip(f"no base image of {NEW}: run make images")
    return {suite: images_of(suite) for suite in (OLD, NEW)}


async def moves_of(pods: list[Images], firmware: str) -> list[Move]:
    """Those of one guest from pod to pod."""
    guest = TravellingGuest(*pods[:2])
    moves: list[Move] = []
    try:
        await guest.start(BOTH_KNOW, machine_pb2.Bootloader.Value(f"BOOTLOADER_{firmware}"))
        for number, images in enumerate(pods[1:]):
            if number:
                await guest.next_pod(images)
            moves.append(await guest.move())
            print(firmware, moves[-1], flush=True)
    finally:
        print(table(firmware, moves), flush=True)
        await guest.remove()
    return moves


@FIRMWARE
async def test_guest_moves_to_the_other_release_and_back_and_nothing_changes(
    both: dict[str, Images], firmware: str
) -> None:
    rounds = int(os.environ.get("ROUND_TRIPS", "2"))
    moves = await moves_of([both[OLD], *[both[NEW], both[OLD]] * rounds], firmware)
    assert len({move.direction for move in moves}) == 2
    assert [move.troubles for move in moves] == [""] * 2 * rounds


@FIRMWARE
async def test_guest_that_the_newer_release_started_moves_to_the_older_one(
    both: dict[str, Images], firmware: str
) -> None:
    (move,) = await moves_of([both[NEW], both[OLD]], firmware)
    assert move.troubles == ""

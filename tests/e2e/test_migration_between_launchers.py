"""Guests on a cluster move between launchers of two Debian releases, with different QEMU and libvirt, there and back.
Only the controller's setting of the launcher's image changes, so that each new pod has the other one.

Skipped where only one of them was built: `LAUNCHER_BASE=bookworm make images` builds the other. ROUND_TRIPS is how
often there and back; -s shows each move.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from localcluster import base_image

from tests import support
from tests.e2e.claims import shared_claim
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until
from tests.e2e.draining import remove_migrations
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest, disk_manifest, image, running
from tests.e2e.migrations import asked, launchers, migratable, migrate
from tests.support.moves import Move, table, troubles

pytestmark = pytest.mark.slow

OTHER = f"-{base_image.SUITE}"  # of a tag
FIRMWARE = {"bios": {"bios": {}}, "uefi": {"efi": {"secureBoot": False}}}
CONTENT = "travelling-content"
_REPLACED = 300.0  # seconds
USER_DATA = Path(support.__file__).with_name("travelling_guest.sh").read_text()


@pytest.fixture
def other() -> Iterator[str]:
    """The image of the other launcher. The controller has its own again afterwards."""
    registry, name = image("virt-launcher").split("/", 1)
    repository, tag = name.rsplit(":", 1)
    with urllib.request.urlopen(f"http://{registry}/v2/{repository}/tags/list") as answer:
        if f"{tag}{OTHER}" not in json.load(answer)["tags"]:
            pytest.skip(f"no launcher {tag}{OTHER} in the registry: run LAUNCHER_BASE={OTHER[1:]} make images")
    yield f"{image('virt-launcher')}{OTHER}"
    launch(image("virt-launcher"))


def launch(launcher: str) -> None:
    """Have the controller make pods with that image."""
    env = {"name": "virt-controller", "env": [{"name": "VIRT_LAUNCHER_IMAGE", "value": launcher}]}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [env]}}}})
    wanted = {"resourceType": "Deployment", "resourceName": "virt-controller", "patch": patch, "type": "strategic"}
    body = {"spec": {"customizeComponents": {"patches": [wanted]} if launcher.endswith(OTHER) else None}}
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", json.dumps(body))
    value = f'"{launcher}"'
    # The operator waits longer and longer before it replaces an object again that changes all the time.
    until(lambda: value in json.dumps(_controller()["spec"]), "the Deployment to name the launcher", _REPLACED)
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/virt-controller", "--timeout=120s", deadline=130)


def _controller() -> Any:
    return get("-n", NAMESPACE, "deployment", "virt-controller")


@contextmanager
def travellers() -> Iterator[list[Guest]]:
    """A guest of each firmware, with every kind of disk that moves."""
    names = [f"travels-{firmware}" for firmware in FIRMWARE]
    common = {"apiVersion": "v1", "metadata": {"name": CONTENT, "namespace": "default"}}
    content = {**common, "kind": "ConfigMap", "data": {"content": os.urandom(65536).hex()}}
    apply(content, {**common, "kind": "Secret", "stringData": {"userdata": USER_DATA}})  # too much for the spec
    try:
        with shared_claim(names[0]), shared_claim(names[1]), running(*map(_body, names), seconds=180) as guests:
            yield guests
            remove_migrations(*guests)
    finally:
        kubectl("delete", f"configmap/{CONTENT}", f"secret/{CONTENT}", "--ignore-not-found")


def _body(name: str) -> dict[str, Any]:
    body = disk_manifest(
        name,
        {
            "root": {"containerDisk": {"image": image("guest-disk")}},
            "scratch": {"emptyDisk": {"capacity": "16Mi"}},
            "claim": {"persistentVolumeClaim": {"claimName": name}},
            "seed": {"cloudInitNoCloud": {"secretRef": {"name": CONTENT}}},
            "cd": {"configMap": {"name": CONTENT}, "cdrom": {"bus": "scsi"}},
        },
    )
    body["metadata"]["labels"] = migratable(name)["metadata"]["labels"]
    body["spec"]["domain"]["memory"]["guest"] = "256Mi"
    body["spec"]["domain"]["firmware"]["bootloader"] = FIRMWARE[name.rpartition("-")[2]]
    return body


async def prepared(guest: Guest) -> None:
    """Its user data has run."""
    async with Shell.of(guest, 120) as shell:
        await shell.run("while [ ! -x /bin/stop-writing ]; do usleep 100000; done", 120)


async def move(guest: Guest, number: int) -> Move:
    """Renew the disks, move the guest while it writes, compare."""
    async with Shell.of(guest) as shell:
        assert await shell.run(f"renew {number}") == "renewed"
        before = await shell.run("sums")
        await shell.type("keep-writing &")
    source, began = _qemu(guest), time.monotonic()
    status = await asyncio.to_thread(migrate, f"{guest.name}-{number}", guest.name)
    seconds = time.monotonic() - began
    assert status["phase"] == "Succeeded", status
    async with Shell.of(guest) as shell:
        written = await shell.run("stop-writing")
        after = await shell.run("sums")
    until(lambda: len(launchers(guest.name)) == 1, "the source's pod to end")
    return Move(f"{source} to {_qemu(guest)}", seconds, " ".join(troubles(before, after, written)))


def _qemu(guest: Guest) -> str:
    """The version of the QEMU in which the guest runs."""
    (pod,) = launchers(guest.name)
    found = re.search(
        r"version (\d+\.\d+)", kubectl("exec", pod, "-c", "compute", "--", "qemu-system-x86_64", "--version")
    )
    assert found is not None
    return found[1]


async def test_guests_move_to_the_other_release_and_back_and_nothing_changes(other: str) -> None:
    rounds = int(os.environ.get("ROUND_TRIPS", "2"))
    moves: dict[str, list[Move]] = {firmware: [] for firmware in FIRMWARE}
    with travellers() as guests, ExitStack() as stack:
        await asyncio.gather(*(prepared(guest) for guest in guests))
        answers = [stack.enter_context(asked(guest.name)) for guest in guests]
        for number in range(2 * rounds):
            await asyncio.to_thread(launch, image("virt-launcher") if number % 2 else other)
            made = await asyncio.gather(*(move(guest, number) for guest in guests))
            for firmware, one in zip(FIRMWARE, made, strict=True):
                moves[firmware].append(one)
                print(firmware, one, flush=True)
        print(*(table(firmware, those) for firmware, those in moves.items()), sep="\n", flush=True)
        for guest, read in zip(guests, answers, strict=True):
            seen = read()
            print(
                f"{guest.name}: {seen.count} answers through its Service, longest silence {seen.longest_silence:.2f} s"
            )
            assert len(seen.boots) == 1
    for those in moves.values():
        assert len({move.direction for move in those}) == 2
        assert [move.troubles for move in those] == [""] * 2 * rounds

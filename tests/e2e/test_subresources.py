"""The subresources of a running guest except its console, called as virtctl does."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest
from localcluster.console import Console, ConsoleEnded, ConsoleRefused
from virt_core.conventions.subresources import SUPPORTED

from tests.e2e.cluster import kubectl, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import TICK_PORT, Guest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

KUBECONFIG = Path(os.environ.get("KUBECONFIG", ""))


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_discovery_lists_all_that_is_served(version: str) -> None:
    listed = json.loads(kubectl("get", "--raw", f"/apis/subresources.kubevirt.io/{version}"))["resources"]
    served = {"expand-vm-spec": "update", **SUPPORTED}
    assert {resource["name"]: resource["verbs"] for resource in listed} == {
        name: [verb] for name, verb in served.items()
    }


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
async def test_a_guests_port_is_forwarded(guests: list[Guest], version: str) -> None:
    name = f"portforward/{TICK_PORT}/tcp" if version == "v1" else f"portforward/{TICK_PORT}"
    for guest in guests:
        async with Shell.of(guest) as shell:  # its card may get an address after the shell has begun
            await shell.run("until ip -4 addr show eth0 | grep -q inet; do sleep 1; done")
        async with Console.open(KUBECONFIG, "default", guest.name, name, version=version) as stream:
            line = await stream.read_until(b"\n", PATIENCE)
            assert re.search(rb"tick .*boot=", line), line


async def test_a_port_without_a_listener_is_reported(guests: list[Guest]) -> None:
    with pytest.raises(ConsoleRefused, match="cannot connect to") as refused:
        async with Console.open(KUBECONFIG, "default", guests[0].name, "portforward/1"):
            pass
    assert refused.value.code == 503


def test_an_agent_that_is_not_there_is_a_conflict(guests: list[Guest]) -> None:
    for subresource in ("guestosinfo", "userlist", "filesystemlist"):
        with pytest.raises(AssertionError, match="VMI does not have guest agent connected"):
            guests[0].question(subresource)
    for subresource in ("freeze", "unfreeze"):
        with pytest.raises(AssertionError, match="VMI does not have guest agent connected"):
            guests[0].command(subresource)


def test_a_state_that_does_not_allow_it_is_a_conflict(guests: list[Guest]) -> None:
    with pytest.raises(AssertionError, match="VMI is not paused"):
        guests[0].command("unpause")
    with pytest.raises(AssertionError, match="unfreezeTimeout"):
        guests[0].command("freeze", '{"unfreezeTimeout": "soon"}')


def test_a_guest_is_paused_and_goes_on(guests: list[Guest]) -> None:
    for version, guest in zip(("v1", "v1alpha3"), guests, strict=True):
        guest.command("pause", '{"dryRun": ["All"]}', version)
        guest.command("pause", version=version)
        until(lambda guest=guest: guest.paused, "the condition Paused")  # type: ignore[misc]
        for subresource, words in (("pause", "VMI is already paused"), ("softreboot", "VMI is paused")):
            with pytest.raises(AssertionError, match=words):
                guest.command(subresource, version=version)
        guest.command("unpause", version=version)
        until(lambda guest=guest: not guest.paused, "the condition Paused to go")  # type: ignore[misc]
        assert guest.phase == "Running"


def test_a_guest_that_is_reset_reboots(guests: list[Guest]) -> None:
    guest = guests[0]
    until(lambda: _boot(guest) != "", "the guest to tick", every=1)
    before, pid = _boot(guest), guest.qemu_pid()
    assert before
    guest.command("reset")
    until(lambda: _boot(guest) not in ("", before), "another boot", every=1)
    assert (guest.phase, guest.qemu_pid()) == ("Running", pid)


async def test_a_display_speaks_rfb_and_is_kept_from_others_on_demand(guests: list[Guest]) -> None:
    name = guests[0].name
    async with Console.open(KUBECONFIG, "default", name, "vnc") as display:
        assert await display.read_until(b"\n", PATIENCE) == b"RFB 003.008\n"
        with pytest.raises(ConsoleRefused) as refused:
            async with Console.open(KUBECONFIG, "default", name, "vnc?preserveSession=true"):
                pass
        assert refused.value.code == 503
        await display.send(b"RFB 003.008\n")
        assert await display.read() == b"\x01\x01"  # one security type: none
        async with Console.open(KUBECONFIG, "default", name, "vnc") as newer:
            assert await newer.read_until(b"\n", PATIENCE) == b"RFB 003.008\n"
            with pytest.raises(ConsoleEnded) as ended:
                await display.read()
            assert ended.value.code == 1008


def test_a_screenshot_is_a_picture(guests: list[Guest]) -> None:
    picture = guests[0].picture()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    print(f"{len(picture)} bytes")


def _boot(guest: Guest) -> str:
    """The boot id that the guest ticks with, "" if it does not."""

    async def ask() -> str:
        try:
            async with Console.open(KUBECONFIG, "default", guest.name, f"portforward/{TICK_PORT}") as stream:
                line = await stream.read_until(b"\n", 30)
        except (ConsoleRefused, ConsoleEnded, TimeoutError):
            return ""
        return line.partition(b"boot=")[2].split()[0].decode()

    return asyncio.run(ask())

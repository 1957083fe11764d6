"""KubeVirt's own virtctl, unmodified, on a small guest: every command of it that a VirtualMachineInstance has.

`make test-all`: it is built from its Go module, which takes minutes where there is no cache.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, until
from tests.e2e.guests import TICK_PORT, Guest, manifest, running

pytestmark = pytest.mark.slow

DETAIL = '"level": "debug"'
ESCAPE = b"\x1d"  # what ends a console, as virtctl says
PATIENCE_S = 60.0
VERSION = (ROOT / "VERSION").read_text().strip()


@pytest.fixture(scope="module")
def virtctl() -> Path:
    """The program."""
    return clients.ensure(clients.VIRTCTL, Cluster.load())


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    """A guest that ticks."""
    with running(manifest("known-to-virtctl")) as (only,):
        yield only


def run(virtctl: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([virtctl, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    print(f"$ virtctl {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done


def test_log_verbosity_is_shown_set_and_reset(virtctl: Path, suite: None) -> None:
    try:
        output = succeeds(virtctl, "adm", "log-verbosity", "--virt-controller=4", "--virt-launcher=6")
        assert "successfully set" in output
        shown = succeeds(virtctl, "adm", "log-verbosity", "--all").split("\n")
        assert {"virt-controller=4", "virt-launcher=6", "virt-handler=2"} <= set(shown)
        until(lambda: DETAIL in recent_log("virt-controller"), "the leader to log its Lease")
    finally:
        assert "successfully set/reset" in succeeds(virtctl, "adm", "log-verbosity", "--reset")
    assert "virt-controller=2" in succeeds(virtctl, "adm", "log-verbosity", "--virt-controller")


def recent_log(component: str) -> str:
    return kubectl("-n", NAMESPACE, "logs", "-l", f"kubevirt.io={component}", "--since=5s")


def succeeds(virtctl: Path, *arguments: str) -> str:
    done = run(virtctl, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@asynccontextmanager
async def started(virtctl: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """While it runs, its output and its errors in one pipe."""
    pipe, stdout = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(virtctl, *arguments, stdin=pipe, stdout=pipe, stderr=stdout)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_output(process: asyncio.subprocess.Process, pattern: bytes) -> re.Match[bytes]:
    """Read the output until it contains the pattern."""
    assert process.stdout is not None
    output = b""
    async with asyncio.timeout(PATIENCE_S):
        while (found := re.search(pattern, output)) is None:
            more = await process.stdout.read(4096)
            assert more, output.decode(errors="replace")
            output += more
    print(output.decode(errors="replace"))
    return found


def test_version_is_printed_for_client_and_server(virtctl: Path) -> None:
    output = succeeds(virtctl, "version")
    assert 'Client Version: version.Info{GitVersion:"v1.' in output
    assert f'Server Version: version.Info{{GitVersion:"v{VERSION}"' in output


async def test_a_console_is_typed_on_and_left_by_its_escape(virtctl: Path, guest: Guest) -> None:
    async with started(virtctl, "console", guest.name) as process:
        assert process.stdin is not None
        await until_output(process, rb"Successfully connected to \S* ?console")
        process.stdin.write(b"\n")
        await until_output(process, rb"ready # ")
        process.stdin.write(b"echo 6 times 7 is $((6 * 7))\n")
        await until_output(process, rb"times 7 is 42")
        process.stdin.write(ESCAPE)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


async def test_a_display_is_served_to_a_viewer(virtctl: Path, guest: Guest) -> None:
    async with started(virtctl, "vnc", guest.name, "--proxy-only") as process:
        port = int((await until_output(process, rb'"port": ?(\d+)'))[1])
        async with asyncio.timeout(PATIENCE_S):
            assert await first_line(port) == b"RFB 003.008\n"


def test_a_screenshot_is_a_picture(virtctl: Path, guest: Guest, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    succeeds(virtctl, "vnc", "screenshot", guest.name, "--file", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


async def test_a_port_is_forwarded(virtctl: Path, guest: Guest) -> None:
    async with started(virtctl, "port-forward", "--stdio", f"vmi/{guest.name}", str(TICK_PORT)) as process:
        await until_output(process, rb"tick .*boot=")
    async with started(virtctl, "port-forward", f"vmi/{guest.name}", f"17777:{TICK_PORT}") as process:
        await until_output(process, rb"17777")  # and then it begins to listen
        async with asyncio.timeout(PATIENCE_S):
            assert b"boot=" in await first_line(17777)


async def first_line(port: int) -> bytes:
    """What is said first on a port of this machine, once somebody listens there."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            try:
                return await reader.readline()
            finally:
                writer.close()


def test_a_guest_is_paused_and_goes_on(virtctl: Path, guest: Guest) -> None:
    assert "was scheduled to pause" in succeeds(virtctl, "pause", "vmi", guest.name)
    until(lambda: guest.paused, "the guest to be paused", 15)
    assert "already paused" in run(virtctl, "pause", "vmi", guest.name).stderr
    assert "was scheduled to unpause" in succeeds(virtctl, "unpause", "vmi", guest.name)
    until(lambda: not guest.paused, "the guest to go on", 15)


def test_a_guest_is_reset_and_rebooted(virtctl: Path, guest: Guest) -> None:
    pid = guest.qemu_pid()
    assert "was scheduled to reset" in succeeds(virtctl, "reset", guest.name)
    assert "was scheduled to soft-reboot" in succeeds(virtctl, "soft-reboot", guest.name)
    assert (guest.phase, guest.qemu_pid()) == ("Running", pid)


def test_what_only_an_agent_knows_is_refused(virtctl: Path, guest: Guest) -> None:
    for command in ("guestosinfo", "userlist", "fslist"):
        done = run(virtctl, command, guest.name)
        assert done.returncode != 0
        # The second are the server's words; guestosinfo does not print them.
        assert re.search("reported a conflict|VMI does not have guest agent connected", done.stderr)


def test_a_guest_is_exposed_as_a_service(virtctl: Path, guest: Guest) -> None:
    kubectl("delete", "service", "ticks", "--ignore-not-found")
    try:
        succeeds(virtctl, "expose", "vmi", guest.name, "--name", "ticks", "--port", str(TICK_PORT))
        until(lambda: addresses("ticks") == [guest.address], "the Service to lead to the guest", 30)
    finally:
        kubectl("delete", "service", "ticks", "--ignore-not-found")


def addresses(service: str) -> list[str]:
    """To which a Service leads."""
    slices = get("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
    return [
        address
        for endpoint_slice in slices
        for end in endpoint_slice["endpoints"] or []
        for address in end["addresses"]
    ]


def test_a_machine_that_is_not_there_is_named(virtctl: Path) -> None:
    done = run(virtctl, "console", "nobody")
    assert done.returncode != 0
    assert 'virtualmachineinstances.kubevirt.io "nobody" not found' in done.stderr

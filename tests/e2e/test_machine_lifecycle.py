"""Commands of a user to a running guest, and its end: paused, reset, shut down in time or not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from localcluster.console import Console

from tests.e2e.cluster import get, kubectl, until, wait
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import created, disk_manifest, logged, manifest, running
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

KUBECONFIG = Path(os.environ.get("KUBECONFIG", ""))


async def test_a_guest_is_paused_resumed_and_reset() -> None:
    body = logged(manifest("verbs"))
    body["spec"]["startStrategy"] = "Paused"
    with running(body) as (guest,):
        until(lambda: guest.paused, "the guest to begin paused")
        assert guest.condition("Paused")["reason"]
        pid = guest.qemu_pid()
        pod = guest.pod["metadata"]["name"]
        assert "booted" not in console_log(pod), "it must not have begun to boot"
        guest.command("unpause")
        until(lambda: not guest.paused, "the guest to run")
        async with Shell.of(guest) as shell:
            first = await shell.boot_id()
            guest.command("pause")
            until(lambda: guest.paused, "the guest to be paused")
            await shell.type("echo aw''ake")
            async with Console.open(KUBECONFIG, "default", guest.name, "vnc") as display:
                assert await display.read_until(b"\n", PATIENCE) == b"RFB 003.008\n"
            assert b"awake" not in shell.seen, "a paused guest answered"
            guest.command("unpause")
            await shell.expect(b"awake")
            until(lambda: not guest.paused, "the guest to run")
            assert guest.picture().startswith(b"\x89PNG\r\n")

            guest.command("reset")
            await shell.booted_again()
            second = await shell.boot_id()
            guest.command("softreboot")
            await shell.booted_again()
            third = await shell.boot_id()
            await shell.type("reboot")
            await shell.booted_again()
        assert len({first, second, third}) == 3
        assert (guest.phase, guest.qemu_pid()) == ("Running", pid)
        # The log's reader comes a moment after the guest.
        until(lambda: console_log(pod).count("guest-demo: booted") >= 4, "the console's log to tell of four boots")
        assert console_log(pod).count("guest-demo: booted") == 4
        assert "guest-demo: power button" in console_log(pod)


def console_log(pod: str) -> str:
    """What the guest has written, as ``kubectl logs`` has it."""
    return kubectl("logs", pod, "-c", "guest-console-log", check=False)  # the kubelet reports later that it runs


async def test_a_deleted_guest_gets_a_shutdown_request_and_is_destroyed_if_it_ignores_it() -> None:
    grace, long_grace = 6, 600
    willing, deaf = manifest("willing"), manifest("deaf")
    willing["spec"]["terminationGracePeriodSeconds"] = long_grace
    deaf["spec"]["terminationGracePeriodSeconds"] = grace
    with running(willing, deaf) as (first, second):
        async with Shell.of(second) as shell:
            await shell.run("killall guest-services")  # nobody reads the power button any more
        async with Shell.of(first) as shell:
            started = time.monotonic()
            kubectl("delete", "vmi", first.name, second.name, "--wait=false")
            await shell.expect(b"guest-demo: power button")
            wait("vmi", first.name, "delete")
            took = time.monotonic() - started
            assert took < long_grace, "a guest that shuts down is not waited for any longer"
        wait("vmi", second.name, "delete")
        assert time.monotonic() - started >= grace
        print(f"shut down and gone after {took:.1f} s, destroyed and gone after {time.monotonic() - started:.1f} s")


async def test_a_panic_is_reported_as_a_panic() -> None:
    with running(manifest("panics")) as (guest,):
        async with Shell.of(guest) as shell:
            await shell.type("echo c >/proc/sysrq-trigger")
            wait("vmi", guest.name, "jsonpath={.status.phase}=Failed")
        assert guest.vmi["status"]["reason"] == "GuestPanicked"


def test_a_vmi_is_deleted_in_every_phase() -> None:
    scheduling, runs = manifest("deleted-scheduling"), manifest("deleted-running")
    pending = disk_manifest("deleted-pending", {"data": {"persistentVolumeClaim": {"claimName": "no-such-claim"}}})
    scheduling["spec"]["domain"]["firmware"]["kernelBoot"]["container"]["image"] = f"{os.environ['REGISTRY']}/no:such"
    with created(pending, scheduling, runs) as guests:
        wanted = ["Pending", "Scheduling", "Running"]
        until(
            lambda: [get("vmi", guest.name).get("status", {}).get("phase") for guest in guests] == wanted, str(wanted)
        )
        started = time.monotonic()
    print(f"deleted in {wanted} within {time.monotonic() - started:.1f} s")
    until(lambda: "virt-launcher-deleted-" not in kubectl("get", "pods", "-o", "name"), "their pods to go")

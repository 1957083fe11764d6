"""The output of a guest's serial console in the log of its pod's guest-console-log, if the manifest enables it."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import kubectl, process, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest, logged, manifest, running

pytestmark = pytest.mark.parallel

LOG = "guest-console-log"


def log(guest: Guest) -> str:
    """The complete log: a killed copier is restarted in its container. The kubelet reports later than the handler that
    the container runs."""
    return kubectl("logs", guest.pod["metadata"]["name"], "-c", LOG, check=False)


async def test_it_goes_on_where_it_was_killed() -> None:
    with running(logged(manifest("logged"))) as (guest,):
        until(lambda: "guest-demo: booted" in log(guest), "the boot to be logged")
        pid, copier = guest.qemu_pid(), process(guest.pod["metadata"]["uid"], r"^\S*console-log ")
        assert copier is not None
        copier.kill()
        async with Shell.of(guest) as shell:
            await shell.run("echo after the de''ath")
        until(lambda: "after the death" in log(guest), "the log to go on")
        assert log(guest).count("guest-demo: booted") == 1
        assert (guest.phase, guest.qemu_pid()) == ("Running", pid)

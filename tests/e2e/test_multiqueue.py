"""A guest of two CPUs with a queue for each of them, to its disk and to its network card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import get, until
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import TICK_PORT, Guest, created, disk_manifest, observed

pytestmark = pytest.mark.parallel

STARTS = 4


@contextmanager
def booted(body: dict[str, Any]) -> Iterator[Guest]:
    """A guest that has booted. QEMU ends in about one of a hundred boots if it emulates more than one CPU: one of them
    uses the map of memory that another one changes (QEMU's issue 1921, "iotlb_to_section: Assertion"). Then it is
    created again."""
    body["spec"]["readinessProbe"] = {"tcpSocket": {"port": TICK_PORT}, "periodSeconds": 1}
    for _ in range(STARTS):
        with created(body) as (guest,):
            until(lambda: guest.phase == "Failed" or guest.condition("Ready").get("status") == "True", "its boot")
            if guest.phase != "Failed":
                yield guest
                return
            assert guest.vmi["status"]["reason"] == "HypervisorCrashed", guest.vmi["status"]
    raise AssertionError(f"QEMU ended in each of {STARTS} boots")


async def test_each_cpu_has_a_queue_of_the_disk_and_of_the_card_and_both_carry() -> None:
    body = disk_manifest("queues", {"scratch": {"emptyDisk": {"capacity": "8Mi"}}})
    domain = body["spec"]["domain"]
    domain["cpu"] = {"cores": 2}
    domain["devices"] |= {"networkInterfaceMultiqueue": True, "blockMultiQueue": True}
    with booted(body) as guest, observed(guest) as ticks:
        service = get("service", "kubernetes")["spec"]["clusterIP"]
        async with Shell.of(guest) as shell:
            assert await shell.run("nproc") == "2"
            queues = await shell.run("cd /sys/class/net/eth0/queues; echo *")
            assert queues == "rx-0 rx-1 tx-0 tx-1"
            assert await shell.run(f"device={disk('scratch')}; cd /sys/block/${{device#/dev/}}/mq; echo *") == "0 1"
            for cpu in ("0", "1"):
                # What a CPU sends goes by its own queue.
                await shell.run(f"until taskset -c {cpu} nc -w 5 {service} 443 </dev/null; do sleep 1; done")
                await shell.run(
                    f"echo by-{cpu} | taskset -c {cpu} dd of={disk('scratch')} seek={cpu} conv=fsync 2>/dev/null"
                )
                read = f"taskset -c {cpu} dd if={disk('scratch')} skip={cpu} count=1 iflag=direct 2>/dev/null"
                assert await shell.run(f"{read} | tr -d '\\000'") == f"by-{cpu}"
        assert guest.vmi["status"]["interfaces"][0]["queueCount"] == 2
        assert ticks()[guest.name].count > 0

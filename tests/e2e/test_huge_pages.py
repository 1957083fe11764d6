"""A guest whose memory is huge pages of its node. The test reserves the pages itself, in the local cluster only: they
belong to the machine, and a kubelet counts them when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.claims import in_node, node_name
from tests.e2e.cluster import get, on_this_machine, until, wait
from tests.e2e.guests import created, manifest, observed

COUNT = Path("/proc/sys/vm/nr_hugepages")
RESOURCE = "hugepages-2Mi"
MIB = 1 << 20
GUEST = 96  # MiB
POD = 104  # MiB reserved on the node


def offered() -> str:
    """The node's capacity of the resource."""
    return str(get("node", node_name())["status"]["allocatable"].get(RESOURCE, "0"))


def count_again() -> None:
    """End the node's kubelet; the node restarts it."""
    (kubelet,) = in_node("pgrep", "-f", "kubelet --config").split()
    in_node("kill", kubelet)


@contextmanager
def taken_back() -> Iterator[Callable[[int], None]]:
    """A function that makes pages of so many MiB on the machine and has the first node count them."""
    before = COUNT.read_text()

    def make(mib: int) -> None:
        COUNT.write_text(str(int(before) + mib // 2))
        added = int(COUNT.read_text()) - int(before)
        if added < mib // 2:
            pytest.skip(f"this machine gives {added} huge pages of 2 MiB, {mib // 2} are needed")
        count_again()
        until(lambda: offered() == f"{mib}Mi", "the node to offer huge pages")

    assert offered() == "0"
    try:
        yield make
    finally:
        COUNT.write_text(before)
        count_again()
        until(lambda: offered() == "0", "the node to offer none any more")


@pytest.mark.slow
def test_a_guest_waits_for_huge_pages_and_runs_in_them() -> None:
    if not on_this_machine():
        pytest.skip("the nodes of this cluster are not this machine's")
    body = manifest("huge", node=node_name(), memory=f"{GUEST}Mi")
    body["spec"]["domain"]["memory"]["hugepages"] = {"pageSize": "2Mi"}
    with taken_back() as make, created(body) as (guest,):
        until(
            lambda: RESOURCE in guest.condition("PodScheduled").get("message", ""),
            "the missing resource to be reported",
        )
        print(guest.condition("PodScheduled")["message"])
        make(POD)
        wait("vmi", guest.name, "jsonpath={.status.phase}=Running", seconds=90)
        rollup = Path(f"/proc/{guest.qemu_pid()}/smaps_rollup").read_text().splitlines()
        sizes = {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in rollup[1:])}
        assert (sizes["Shared_Hugetlb"] + sizes["Private_Hugetlb"]) << 10 == GUEST * MIB
        with observed(guest) as ticks:
            assert ticks()[guest.name].count > 0

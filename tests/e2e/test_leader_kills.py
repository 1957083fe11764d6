"""The operator's leader is killed at each step in `status.upgrade`: during removal, installation, update and rollback.
Each operation completes, and no step that must be done once is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.e2e.builds import NEXT, TODAY, Build, by_image_tag, by_manifest, reached, runs, set_image_tag
from tests.e2e.cluster import NAMESPACE, get, kubectl, nodes, process, until
from tests.e2e.guests import MAX_GAP, manifest, observed, running
from tests.e2e.removal import SUITE
from tests.e2e.watching import History, watching

pytestmark = pytest.mark.slow
LONGEST = 300.0  # seconds for one operation with all its kills: a killed leader's Lease runs out after 15 s
MANAGED = "app.kubernetes.io/managed-by=virt-operator"


def kill_leader(history: History) -> str:
    """kill -9 of the leading process; returns its pod's name, "" if there is no leader."""
    holder: str = get("lease", "virt-operator", "-n", NAMESPACE)["spec"].get("holderIdentity", "")
    uids = {pod.name: pod.body["metadata"]["uid"] for pod in history.pods("virt-operator")}
    victim = process(uids[holder], "virt_operator") if holder in uids else None
    if victim is None:
        return ""
    victim.kill()
    return holder


def with_kills(operation: str, begin: Callable[[], object], ended: Callable[[], bool]) -> History:
    """Begin, kill the leader when each step is reported, wait until the operation has ended; print the kills."""
    killed: dict[tuple[str, str], float] = {}
    with watching() as history:
        began = last_request = time.monotonic()
        begin()

        def over() -> bool:
            nonlocal last_request
            upgrades = history.upgrades()
            step = (upgrades[-1].get("operation", ""), upgrades[-1].get("step", "")) if upgrades else None
            if step and step not in killed and (victim := kill_leader(history)):
                killed[step] = time.monotonic() - began
                print(f"{operation}: killed {victim} at {' '.join(step)} after {killed[step]:.1f} s")
            if time.monotonic() - last_request < 1.0:
                return False
            last_request = time.monotonic()
            return ended()

        until(over, f"{operation} to end", LONGEST, every=0.02)
    print(f"{operation}: ended after {time.monotonic() - began:.1f} s and {len(killed)} kills of its leader")
    assert len(killed) >= 2, killed
    return history


def authority() -> Any:
    """The suite's certificate authority."""
    secret = get("secret", "kubevirt-ca", "-n", NAMESPACE)
    return secret["metadata"]["uid"], secret["data"]["tls.crt"]


def judge(history: History, build: Build) -> None:
    """Each handler pod was replaced once, each Deployment got a single new template."""
    made = {pod.name for pod in history.pods("virt-handler") if pod.tag == build.tag}
    assert len(made) == len(set(nodes())), made
    for component in ("virt-api", "virt-controller"):
        sets = get("replicasets", "-n", NAMESPACE, "-l", f"kubevirt.io={component}")["items"]
        images = [daemon_set["spec"]["template"]["spec"]["containers"][0]["image"] for daemon_set in sets]
        assert sum(image.endswith(f":{build.tag}") for image in images) == 1, images


def test_removal_and_installation_end_though_their_leader_is_killed_at_each_step() -> None:
    reached(TODAY)
    before = authority()

    def gone() -> bool:
        return not get("kv", "-A")["items"]

    with_kills("removal", lambda: kubectl("delete", "-f", SUITE, "--wait=false"), gone)
    kinds = "deployments,daemonsets,pods,services,roles,secrets,configmaps"
    assert kubectl("get", kinds, "-n", NAMESPACE, "-o", "name", "-l", MANAGED).split() == []
    history = with_kills("installation", lambda: kubectl("apply", "-f", SUITE), lambda: runs(TODAY))
    judge(history, TODAY)
    assert authority() == before


@pytest.mark.parametrize("change", [by_manifest, by_image_tag])
def test_an_update_and_the_way_back_end_though_their_leader_is_killed_at_each_step(
    change: Callable[[Build], None],
) -> None:
    reached(TODAY)
    before = authority()
    try:
        with running(manifest("ticker")) as guests, observed(*guests) as ticks:
            pid = guests[0].qemu_pid()
            for operation, build in (("update", NEXT), ("way back", TODAY)):
                judge(with_kills(operation, partial(change, build), partial(runs, build)), build)
            time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
            seen = ticks()["ticker"]
            print(f"ticker: {seen}")
            assert (len(seen.boots), seen.connections, guests[0].qemu_pid()) == (1, 1, pid)
            assert seen.longest_silence < MAX_GAP
            assert authority() == before
    finally:
        set_image_tag(None)
        by_manifest(TODAY)
        reached(TODAY)

"""kill -9 from outside of every process except PID 1 of the VM's container: guests continue, and all processes recover.

`make test` kills each once; `make chaos` eight times each and prints the table.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, nodes, until, wait
from tests.e2e.guests import MAX_GAP, booting_from_disk, disk_manifest, image, logged, manifest, observed, running
from tests.e2e.killing import SIDECARS, VICTIMS, are_replaced, victims

LIFE = 3.0  # seconds that each virt-handler lives while ten VMIs are created


def kill_each(names: list[str], rounds: int) -> None:
    """Kill, see it back, `rounds` times each; then compare QEMU's PIDs, boot ids and the longest gap."""
    table = []
    first, second = nodes()
    both = logged(manifest("t1", node=first)), manifest("t2", node=second)
    with running(*both) as guests, observed(*guests) as ticks:
        pids = {guest.name: guest.qemu_pid() for guest in guests}
        for name in names:
            for _ in range(rounds):
                until(lambda name=name: len(victims(name, guests)) >= 1, f"{name} to run", 400)  # type: ignore[misc]
                killed = victims(name, guests)
                for victim in killed:
                    victim.kill()
                old = {victim.pid for victim in killed}
                back = until(lambda name=name, old=old: are_replaced(name, guests, old), f"{name} to come back", 400)  # type: ignore[misc]
                table.append((name, len(killed), back))
        for deployment in ("virt-operator", "virt-api", "virt-controller"):
            kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{deployment}", "--timeout=180s", deadline=200)
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=400)
        time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
        seen = ticks()
        for guest in guests:
            assert guest.phase == "Running"
            assert guest.qemu_pid() == pids[guest.name]
    for name in names:
        kills = [row for row in table if row[0] == name]
        longest = max(row[2] for row in kills)
        print(f"{name:16} killed {sum(row[1] for row in kills):3} back within {longest:5.1f} s")
    for name, tick in seen.items():
        print(f"{name}: {tick}")
        assert len(tick.boots) == 1
        assert tick.connections == 1
        assert tick.longest_silence < MAX_GAP


def test_guests_survive_the_death_of_each_process() -> None:
    kill_each([*VICTIMS, "console's log"], rounds=1)


@pytest.mark.chaos
def test_guests_survive_eight_deaths_of_each_process() -> None:
    kill_each(list(VICTIMS), rounds=8)


# How often each dies at random: a hundred deaths in all. The kubelet brings containers back with a growing delay, so
# most are of what the launcher's supervisor brings back itself.
DEATHS = {**dict.fromkeys(VICTIMS, 8), "launcher": 26, "libvirtd": 26, **dict.fromkeys(SIDECARS, 8)}


@pytest.mark.chaos
def test_three_guests_survive_a_hundred_random_deaths() -> None:
    """Nobody waits for one to be back before the next dies: any process, at any instant, in any order."""
    find = {**VICTIMS, **SIDECARS}
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    order = [name for name, deaths in DEATHS.items() for _ in range(deaths)]
    chance.shuffle(order)
    first, second = nodes()
    disk = disk_manifest("r3", {"root": {"containerDisk": {"image": image("guest-disk")}}}, node=second)
    with (
        running(logged(manifest("r1", node=first)), manifest("r2", node=second), booting_from_disk(disk)) as guests,
        observed(*guests) as ticks,
    ):
        pids = {guest.name: guest.qemu_pid() for guest in guests}
        longest: dict[str, float] = {}
        for name in order:
            waited = until(lambda name=name: bool(find[name](guests)), f"{name} to run", 400)  # type: ignore[misc]
            longest[name] = max(longest.get(name, 0.0), waited)
            alive = find[name](guests)
            if alive:  # one that died between the two looks is dead all the same
                chance.choice(alive).kill()
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=400)
        time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
        seen = ticks()
        for guest in guests:
            assert guest.phase == "Running"
            assert guest.qemu_pid() == pids[guest.name]
    for name, deaths in DEATHS.items():
        print(f"{name:22} killed {deaths:3} times, at most {longest[name]:5.1f} s until there was one to kill")
    for name, tick in seen.items():
        print(f"{name}: {tick}")
        assert (len(tick.boots), tick.connections) == (1, 1)
        assert tick.longest_silence < MAX_GAP


@pytest.mark.chaos
def test_ten_vmis_run_though_the_handler_of_their_node_is_killed_in_a_loop() -> None:
    manifests = [manifest(f"loop{number}", node=nodes()[0]) for number in range(10)]
    seen: dict[int, float] = {}
    killed: set[int] = set()

    def all_running() -> bool:
        for victim in victims("virt-handler", []):
            born = seen.setdefault(victim.pid, time.monotonic())
            if time.monotonic() - born > LIFE and victim.pid not in killed:
                victim.kill()
                killed.add(victim.pid)
        phases = [vmi.get("status", {}).get("phase") for vmi in get("vmi")["items"]]
        return phases.count("Running") == len(manifests)

    try:
        apply(*manifests)
        took = until(all_running, "ten VMIs to run", 300)
        print(f"ten VMIs running after {took:.1f} s and {len(killed)} kills of virt-handler")
        assert len(killed) >= 2
    finally:
        kubectl(
            "delete", "vmi", *[body["metadata"]["name"] for body in manifests], "--wait", "--timeout=180s", deadline=200
        )

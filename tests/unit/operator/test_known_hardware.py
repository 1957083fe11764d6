"""What both releases know of hardware: learned during an update, and what happens if it cannot be learned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from virt_core.conventions.launcher_pod import HYPERVISOR_RECORD
from virt_operator.strategy.hardware_job import hardware_job
from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import Apply, Replace

from .launchers import NEW_TYPES, OLD_TYPES, record
from .suites import INSTALL
from .updates import NEW, NEWEST, OLD, back, installed, passes, status, updated
from .world import World

CONTROLLER = Ref("Deployment", "kubevirt", "virt-controller")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with installed(tmp_path) as made:
        made.launchers.printing = {
            OLD: record(OLD_TYPES, ("Nehalem", "qemu32"), cpuFeatures=["vmx", "3dnow"]),
            NEW: record(NEW_TYPES, ("Nehalem", "SierraForest"), cpuFeatures=["vmx", "avx10"]),
            NEWEST: record(("pc-q35-7.1", "pc-q35-10.0", "pc-q35-11.0"), ("Nehalem",)),
        }
        yield made


def jobs(world: World) -> list[str]:
    return [ref.name for ref in world.owned if ref.kind == "Job" and ref.name.startswith("kubevirt-hardware")]


def test_one_pod_without_an_account_prints_both_records() -> None:
    job = hardware_job("registry.example/virt-launcher:old", INSTALL)
    pod = job["spec"]["template"]["spec"]
    assert [container["image"] for container in pod["containers"]] == [
        "registry.example/virt-launcher:old",
        INSTALL.image("virt-launcher"),
    ]
    assert {tuple(container["command"]) for container in pod["containers"]} == {("cat", HYPERVISOR_RECORD)}
    assert pod["automountServiceAccountToken"] is False and pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert job == hardware_job("registry.example/virt-launcher:old", INSTALL)
    assert job["metadata"]["name"] != hardware_job("registry.example/virt-launcher:x", INSTALL)["metadata"]["name"]


async def test_the_newest_machine_type_that_both_know_stands_for_the_alias(world: World) -> None:
    await updated(world)
    found = back(world)
    assert found.machine_types == {"q35": "pc-q35-7.2"} and found.hardware_unknown == ""
    assert found.known_machine_types == ["pc-q35-7.1", "pc-q35-7.2"]
    assert (found.cpu_models, found.cpu_features) == (["Nehalem"], ["vmx"])
    assert jobs(world) == [] and world.launchers.read == 2


async def test_it_is_learned_while_the_strategy_is_printed_and_handlers_are_replaced(world: World) -> None:
    world.ask(imageTag=NEW)
    first = await world.run_pass()
    assert [action.ref.name[:16] for action in first.actions if isinstance(action, Apply)] == [
        "kubevirt-install",
        "kubevirt-hardwar",
    ]
    waits = set()
    for _ in range(60):
        world.act()
        decided = await world.run_pass()
        waits |= {decided.waits[0].step} if decided.waits else set()
        if status(world).way_back is not None and back(world).hardware_at:
            break
    assert "virt-handler" in waits and "Hardware" not in waits, "nothing waited for it"


async def test_no_new_virt_controller_comes_before_it_is_known(world: World) -> None:
    world.launchers.missing = {OLD}
    world.ask(imageTag=NEW)
    decided = None
    for _ in range(30):
        decided = await world.run_pass()
        written = [action.ref for action in decided.actions if isinstance(action, Apply | Replace)]
        assert CONTROLLER not in written
        world.act()
    assert decided is not None
    wait = decided.waits[0]
    assert wait.step == "Hardware" and wait.what.startswith("Job kubevirt/kubevirt-hardware-")
    assert f"virt-launcher:{OLD}" in wait.why and "ErrImagePull: not found" in wait.why
    assert "; goes on without it at 20" in wait.why
    world.launchers.missing = set()
    await passes(world)
    assert status(world).observed_kube_virt_version == NEW and back(world).machine_types == {"q35": "pc-q35-7.2"}


async def test_a_log_that_nobody_can_read_stops_no_update(world: World) -> None:
    world.launchers.unreadable = True
    world.ask(imageTag=NEW)
    while status(world).observed_kube_virt_version == OLD:
        await world.run_pass()
        world.act()
        world.offset += timedelta(seconds=5)
    assert "its output is being read" in back(world).hardware_unknown


@pytest.mark.parametrize("way", ["missing", "broken"])
async def test_what_cannot_be_known_is_said_and_stops_no_update(world: World, way: str) -> None:
    began = world.now
    setattr(world.launchers, way, {OLD})
    await updated(world)
    assert world.now - began < timedelta(minutes=5)
    found = back(world)
    assert found.hardware_at and (found.machine_types, found.cpu_models) == ({}, [])
    words = {"missing": "cannot get the image", "broken": "exit code 1"}
    assert words[way] in found.hardware_unknown and f"virt-launcher:{OLD}" in found.hardware_unknown


@pytest.mark.parametrize("way", ["missing", "broken", "no record"])
async def test_what_was_known_of_another_release_counts_no_longer_when_nothing_is_known(world: World, way: str) -> None:
    await updated(world)
    assert back(world).machine_types
    if way == "no record":
        world.launchers.printing[NEWEST] = b"sh: cat: not found"
    else:
        setattr(world.launchers, way, {NEWEST})
    await updated(world, NEWEST)
    found = back(world)
    assert found.hardware_unknown and (found.machine_types, found.known_machine_types) == ({}, [])


async def test_an_output_that_is_no_record_is_said(world: World) -> None:
    world.launchers.printing[NEW] = b"sh: cat: not found"
    await updated(world)
    assert "container after: not a launcher's record" in back(world).hardware_unknown


async def test_a_release_after_the_next_is_compared_with_the_one_to_go_back_to(world: World) -> None:
    await updated(world)
    await updated(world, NEWEST)
    found = back(world)
    assert found.version == OLD and found.machine_types == {"q35": "pc-q35-7.1"}
    assert found.known_machine_types == list(OLD_TYPES) and found.cpu_features is None


async def test_a_target_that_changes_during_the_update_is_asked_as_well(world: World) -> None:
    world.ask(imageTag=NEW)
    while not status(world).way_back or not back(world).hardware_at:
        await world.run_pass()
        world.act()
    assert status(world).observed_kube_virt_version == OLD
    await updated(world, NEWEST)
    assert back(world).machine_types == {"q35": "pc-q35-7.1"}


async def test_other_settings_while_the_way_is_open_ask_nobody_and_keep_it(world: World) -> None:
    await updated(world)
    before, read = back(world), world.launchers.read
    world.launchers.missing = {OLD}
    world.ask(infra={"replicas": 3})
    await passes(world)
    assert back(world) == before and world.launchers.read == read


async def test_releases_without_a_common_machine_type_have_no_alias(world: World) -> None:
    world.launchers.printing[NEW] = record(("pc-q35-11.0",))
    await updated(world)
    assert back(world).machine_types == {} and "no machine type" in back(world).hardware_unknown


async def test_a_roll_back_asks_nobody_again(world: World) -> None:
    await updated(world)
    read = world.launchers.read
    await updated(world, OLD)
    assert world.launchers.read == read and jobs(world) == []


async def test_an_operator_that_dies_learns_it_again(world: World) -> None:
    world.ask(imageTag=NEW)
    for number in range(80):
        await world.run_pass(number % 3)
        world.launchers.by_uid = {}
        world.act()
        await world.run_pass()
    await passes(world)
    assert status(world).observed_kube_virt_version == NEW and back(world).machine_types == {"q35": "pc-q35-7.2"}

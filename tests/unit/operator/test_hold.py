"""The rollout of virt-controller and virt-api stops at the first new pod until it is proven."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from virt_operator.change import hold
from virt_operator.strategy.ref import Ref, ref_of
from virt_operator.suite.observed import PodObject

from tests.unit.operator.suites import CONTROLLER, changed, desired_objects, installed, live

from .upgrades import MOST_PASSES, NEW, OLD, Journal, condition, five_nodes, passes, status, upgrade_of, versions
from .world import World

COMPONENTS = ("virt-controller", "virt-api")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with five_nodes(tmp_path, monkeypatch) as made:
        made.ask(upgradeStrategy={"canary": 0, "waveSize": 5})
        yield made


def of_release(world: World, component: str, tag: str) -> list[PodObject]:
    return [pod for pod in world.pods_of(component) if pod.spec["containers"][0]["image"].endswith(f":{tag}")]


def seconds(world: World, component: str) -> int:
    found: int = world.owned[Ref("Deployment", "kubevirt", component)].content()["spec"].get("minReadySeconds", 0)
    return found


async def upgraded(world: World, *, restart: bool = False) -> dict[str, int]:
    """Passes to the end. The highest number of new pods of each component before one of them was proven."""
    most, journal = dict.fromkeys(COMPONENTS, 0), Journal()
    for _ in range(MOST_PASSES):
        await passes(world, journal=journal, most=1, restart=restart)
        for component in COMPONENTS:
            new = of_release(world, component, NEW)
            proven = world.probes.works if component == "virt-controller" else world.probes.by_uid
            if not any(pod.metadata.uid in proven and proven[pod.metadata.uid].fault is None for pod in new):
                most[component] = max(most[component], len(new))
    return most


async def test_there_is_one_new_pod_until_it_is_proven_then_the_rollout_goes_on(world: World) -> None:
    world.ask(imageTag=NEW)
    assert await upgraded(world) == {"virt-controller": 1, "virt-api": 1}
    assert status(world).observed_kube_virt_version == NEW
    for component in COMPONENTS:
        assert len(of_release(world, component, NEW)) == len(world.pods_of(component)) == 2
        assert seconds(world, component) == 0
    (work,) = [action for action in world.probes.worked if action.pod.component == "virt-controller"]
    assert work.owner.name == "kubevirt"
    assert world.kubelets.leader in [pod.metadata.name for pod in of_release(world, "virt-controller", NEW)]


async def test_a_new_leader_of_the_operator_continues_a_rollout_that_is_held(world: World) -> None:
    world.ask(imageTag=NEW)
    await upgraded(world, restart=True)
    assert status(world).observed_kube_virt_version == NEW
    assert [seconds(world, component) for component in COMPONENTS] == [0, 0]


async def test_the_object_says_that_the_rollout_is_held_and_why(world: World) -> None:
    world.probes.refusing = {"virt-controller"}
    world.ask(imageTag=NEW)
    while not world.probes.asked or world.probes.asked[-1].pod.component != "virt-controller":
        await passes(world, most=1)
    await passes(world, most=1)
    message = condition(world, "Progressing")[2]
    assert "no further pod is replaced until the first new one is proven: pod virt-controller-" in message
    assert seconds(world, "virt-controller") == 300


@pytest.mark.parametrize(
    ("fault", "component", "probe"),
    [
        ("idle", "virt-controller", "reconciles"),
        ("unled", "virt-controller", "leadership"),
        ("deaf", "virt-api", "admission"),
    ],
)
async def test_a_pod_that_is_ready_and_does_not_work_is_the_only_one_and_goes_back(
    world: World, fault: str, component: str, probe: str
) -> None:
    world.probes.idle = fault == "idle"
    world.kubelets.unled = {NEW} if fault == "unled" else set()
    world.probes.refusing = {"virt-api"} if fault == "deaf" else set()
    made = world.kubelets.pods_made
    began = world.now
    world.ask(imageTag=NEW)
    assert (await upgraded(world))[component] == 1
    stopped = upgrade_of(world).stopped
    assert stopped is not None and (stopped.component, stopped.probe) == (component, probe)
    assert stopped.object.startswith(f"pod {component}-")
    assert versions(world) == {OLD} and upgrade_of(world).operation == "Stopped"
    assert world.now - began < timedelta(minutes=2)
    assert [seconds(world, name) for name in COMPONENTS] == [0, 0]
    assert len(of_release(world, component, OLD)) == len(world.pods_of(component)) == 2
    if fault == "unled":
        assert world.kubelets.pods_made - made <= 2 * 5 + 1 + 2, "each old controller is deleted once at most"
    tried = len(world.probes.asked) + len(world.probes.worked)
    world.offset += timedelta(hours=1)
    await passes(world)
    assert len(world.probes.asked) + len(world.probes.worked) == tried, "nothing loops"


async def test_an_old_pod_that_is_made_again_and_quicker_is_no_fault_of_the_new_one(world: World) -> None:
    world.kubelets.swift, first = True, {pod.metadata.name for pod in world.pods_of("virt-controller")}
    world.ask(imageTag=NEW)
    while not (world.kubelets.leader and world.kubelets.leader not in first):
        await passes(world, most=1)
    began = world.now
    assert world.kubelets.leader in [pod.metadata.name for pod in of_release(world, "virt-controller", OLD)]
    while world.now - began < timedelta(seconds=60):
        await passes(world, most=1)
    assert upgrade_of(world).stopped is None
    assert "it was quicker" in condition(world, "Progressing")[2]
    world.kubelets.swift = False
    await passes(world)
    assert status(world).observed_kube_virt_version == NEW


async def test_old_pods_that_are_always_quicker_stop_the_update_and_the_reason_says_so(world: World) -> None:
    world.kubelets.swift, made, began = True, world.kubelets.pods_made, world.now
    world.ask(imageTag=NEW)
    await passes(world)
    stopped = upgrade_of(world).stopped
    assert stopped is not None and stopped.probe == "leadership"
    assert "within 120 s, in which it was never free for long" in stopped.message
    assert world.now - began < timedelta(minutes=4)
    assert world.kubelets.pods_made - made <= 2 * 5 + 1 + 2 * 9, "a chance every 15 seconds"


@pytest.mark.parametrize("component", COMPONENTS)
async def test_a_new_pod_that_does_not_become_ready_within_five_minutes_goes_back(world: World, component: str) -> None:
    world.kubelets.unpulled, began = {(component, NEW)}, world.now
    world.ask(imageTag=NEW)
    await passes(world)
    stopped = upgrade_of(world).stopped
    assert stopped is not None and (stopped.component, stopped.probe) == (component, "Ready")
    assert stopped.message.startswith(f"after 5 minutes {stopped.object} is not ready")
    assert timedelta(minutes=5) <= world.now - began < timedelta(minutes=7)
    assert versions(world) == {OLD} and upgrade_of(world).operation == "Stopped"
    assert len(of_release(world, component, OLD)) == len(world.pods_of(component)) == 2
    assert condition(world, "Degraded")[1] == "UpgradeStopped"


async def test_a_slow_pull_of_an_image_is_waited_for(world: World) -> None:
    world.kubelets.unpulled, began = {("virt-api", NEW)}, world.now
    world.ask(imageTag=NEW)
    while not of_release(world, "virt-api", NEW):
        await passes(world, most=1)
    world.offset += timedelta(minutes=4)
    await passes(world, most=1)
    world.kubelets.unpulled = set()
    await passes(world)
    assert status(world).observed_kube_virt_version == NEW and world.now - began > timedelta(minutes=4)


@pytest.mark.parametrize(
    ("customized", "held", "free"),
    [({}, 300, None), ({"minReadySeconds": 10}, 300, 10), ({"progressDeadlineSeconds": 100}, 99, None)],
)
def test_what_the_user_customizes_is_kept(customized: dict[str, Any], held: int, free: int | None) -> None:
    body = next(body for body in desired_objects() if ref_of(body) == CONTROLLER)
    wanted = {**body, "spec": {**body["spec"], **customized, "template": {"metadata": {"annotations": {}}}}}
    observed = changed(installed(), CONTROLLER, live(body, {}))
    written = hold.applied(observed, wanted, changing=True)
    assert written["spec"]["minReadySeconds"] == held
    waiting = changed(observed, CONTROLLER, live(written, {}))
    assert hold.applied(waiting, wanted, changing=True) == written
    assert hold.applied(waiting, wanted, changing=False)["spec"]["minReadySeconds"] == (free or 0)
    assert hold.applied(observed, wanted, changing=False)["spec"].get("minReadySeconds") == free


def test_without_a_change_of_the_template_nothing_is_held() -> None:
    for body in desired_objects():
        assert hold.applied(installed(), body, changing=True) == body

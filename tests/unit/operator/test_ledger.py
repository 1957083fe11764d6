"""The ledger: what a roll back would not bring back, by the judges of the plan, and when it is looked for."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from virt_core.kube.errors import Forbidden
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.upgrade_status import LedgerEntry, Upgrade, WayBack
from virt_operator.preflight.kinds import StoredObject
from virt_operator.preflight.ledger import MOST, ledger
from virt_operator.preflight.observed import Question
from virt_operator.preflight.plan import plan
from virt_operator.reconcile import learn
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.suite.actions import ReviewWayBack

from .launchers import NEW_TYPES, record
from .preflight_cluster import INSTALLED, PROBED, STRATEGY, TARGET, cluster, guest, machine
from .suites import BACK, deployed, suite
from .updates import NEW, OLD, back, condition, installed, passes, status, updated
from .world import World

KNOWN = msgspec.structs.replace(
    BACK,
    machine_types={"q35": "pc-q35-7.2"},
    known_machine_types=["pc-q35-7.1", "pc-q35-7.2"],
    cpu_models=["Nehalem"],
    cpu_features=["vmx"],
)
"""To INSTALLED, of whose release the following is older."""


def lean(strategy: InstallStrategy, kind: str, *path: str) -> InstallStrategy:
    """The strategy of a release that has not this field of a kind."""
    objects, operator = copy.deepcopy(strategy.objects), copy.deepcopy(strategy.operator)
    for body in (*objects, *operator):
        if body["kind"] == "CustomResourceDefinition" and body["spec"]["names"]["kind"] == kind:
            for version in body["spec"]["versions"]:
                schema: Any = version["schema"]["openAPIV3Schema"]
                for name in path[:-1]:
                    schema = schema["properties"][name]
                schema["properties"].pop(path[-1], None)  # versions share their schema
    return msgspec.structs.replace(strategy, objects=objects, operator=operator)


def written(found: Any, way_back: WayBack = KNOWN, before: InstallStrategy | None = INSTALLED) -> list[tuple[str, str]]:
    return [(entry.object, entry.field) for entry in ledger(found, way_back, before)]


def test_a_cluster_that_can_go_back_has_an_empty_ledger() -> None:
    assert written(cluster(installed=STRATEGY)) == []


def test_guests_and_vms_with_hardware_that_the_old_release_does_not_know_are_named() -> None:
    domain = {"cpu": {"model": "SierraForest", "features": [{"name": "vmx"}, {"name": "avx10"}]}}
    found = cluster(
        guests=(guest("eve", spec={"domain": domain}, machine={"type": "pc-q35-10.0"}), guest("ada"), guest("old")),
        machines=(machine("ada", domain), machine("bob", {"machine": {"type": "pc-q35-10.0"}})),
    )
    assert written(found) == [
        ("VirtualMachine default/bob", "spec.template.spec.domain.machine.type"),
        ("VirtualMachineInstance default/eve", "status.machine.type"),
        ("VirtualMachineInstance default/eve", "spec.domain.cpu.model"),
        ("VirtualMachineInstance default/eve", "spec.domain.cpu.features"),
    ]
    why = ledger(found, KNOWN, INSTALLED)[1].why
    assert "machine type pc-q35-10.0 is not known to QEMU and libvirt of v1.2.3" in why and "restart the VM" in why


def test_fields_that_the_old_definitions_lack_are_named_of_vms_and_of_the_kubevirt_object() -> None:
    before = lean(INSTALLED, "VirtualMachine", "spec", "runStrategy")
    before = lean(before, "KubeVirt", "spec", "upgradeStrategy")
    stored = StoredObject(ObjectMeta("bob", "default"), msgspec.Raw(b'{"runStrategy":"Always"}'))
    other = StoredObject(ObjectMeta("eve", "default"), msgspec.Raw(b'{"running":true}'))
    found = cluster(
        {"upgradeStrategy": {"canary": 2}}, installed=STRATEGY, stored={"virtualmachines.kubevirt.io": (stored, other)}
    )
    assert written(found, before=before) == [
        ("KubeVirt kubevirt/kubevirt", "spec.upgradeStrategy"),
        ("VirtualMachine default/bob", "spec.runStrategy"),
    ]
    judged = plan(found, Question(None, OLD, ""), replace(PROBED, strategy=before))
    assert {finding.reason for finding in judged.findings if finding.field} == {"StoredFieldGone"}, "the plan says so"


def test_what_is_not_known_is_said() -> None:
    unknown = msgspec.structs.replace(BACK, hardware_unknown="the image is gone")
    first, second = ledger(cluster(installed=STRATEGY), unknown, None)
    assert first.field == "status.machine.type" and "because the image is gone" in first.why
    assert second == LedgerEntry("stored objects", "", "not examined: the install strategy of v1.2.3 is gone")


def test_a_long_ledger_is_cut_and_says_so() -> None:
    guests = tuple(guest(f"g{number:03}", machine={"type": "pc-q35-10.0"}) for number in range(MOST + 5))
    found = written(cluster(guests=guests, installed=STRATEGY))
    assert len(found) == MOST + 1 and found[-1] == ("and 5 more", "")


def test_the_plan_of_a_roll_back_below_the_final_level_is_blocked() -> None:
    older = msgspec.structs.replace(STRATEGY, release="v1.2.0", feature_level=0)
    question = Question(msgspec.structs.replace(TARGET, tag="v1.2.0"), "v1.2.0", "")
    for level, expected in ((0, []), (2, ["FeatureLevelTooLow"])):
        found = cluster(suite=suite({}, msgspec.structs.replace(deployed(), upgrade=Upgrade(level=level))))
        findings = plan(found, question, replace(PROBED, strategy=older)).findings
        assert [finding.reason for finding in findings if "evel" in finding.reason] == expected


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with installed(tmp_path) as made:
        made.launchers.printing = {NEW: record(NEW_TYPES)}
        yield made


def run_guest(world: World, name: str, machine_type: str) -> None:
    meta = {"name": name, "namespace": "default"}
    body = {"metadata": meta, "spec": {"domain": {}}, "status": {"phase": "Running", "machine": {"type": machine_type}}}
    world.server.put(VIRTUAL_MACHINE_INSTANCES.path("default"), body)


async def reviews(world: World) -> int:
    """How many there are until nothing happens any more."""
    count = 0
    for _ in range(20):
        decided = await world.run_pass()
        count += sum(isinstance(action, ReviewWayBack) for action in decided.actions)
        world.act()
    return count


async def test_it_is_written_when_the_update_is_complete_and_renewed_every_ten_minutes(world: World) -> None:
    run_guest(world, "eve", "pc-q35-10.0")
    await updated(world)
    (entry,) = back(world).ledger
    assert (entry.object, entry.field) == ("VirtualMachineInstance default/eve", "status.machine.type")
    assert condition(world)[1] == "Soaking" and condition(world, "Available")[0] == "True"
    run_guest(world, "bob", "pc-q35-10.0")
    assert await reviews(world) == 0 and len(back(world).ledger) == 1
    world.offset += timedelta(minutes=10)
    assert await reviews(world) == 1 and len(back(world).ledger) == 2


async def test_a_roll_back_writes_it_once_and_goes_ahead(world: World) -> None:
    await updated(world)
    assert back(world).ledger == []
    run_guest(world, "eve", "pc-q35-10.0")
    world.ask(imageTag=OLD)
    seen: list[LedgerEntry] = []
    count = 0
    while world.operator.tag != OLD:
        decided = await world.run_pass()
        count += sum(isinstance(action, ReviewWayBack) for action in decided.actions)
        world.act()
        seen = back(world).ledger or seen
    assert count == 1 and [entry.object for entry in seen] == ["VirtualMachineInstance default/eve"]
    await passes(world)
    assert status(world).observed_kube_virt_version == OLD and status(world).way_back is None


async def test_while_the_update_is_in_progress_nothing_is_listed(world: World) -> None:
    world.ask(imageTag=NEW)
    while not status(world).way_back or not back(world).proven_at:
        decided = await world.run_pass()
        world.act()
        assert not any(isinstance(action, ReviewWayBack) for action in decided.actions) or back(world).proven_at


@pytest.mark.parametrize(
    "error", [Forbidden(403, "virtualmachineinstances is forbidden"), KeyError("versions")], ids=["refusal", "defect"]
)
async def test_a_cluster_that_cannot_be_examined_is_said_and_asked_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refused(*_: object) -> None:
        raise error

    await updated(world)
    world.offset += timedelta(minutes=10)
    monkeypatch.setattr(learn, "read_reviewed", refused)
    assert await reviews(world) == 1
    (entry,) = back(world).ledger
    assert entry.object == "the cluster" and entry.why.startswith("not examined: ")
    assert condition(world, "Available")[0] == "True"

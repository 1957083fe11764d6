"""The plan of an upgrade: what happens to each guest, and what stands in its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from virt_operator.preflight.finding import Severity, Subject
from virt_operator.preflight.kinds import Guest
from virt_operator.suite.hypervisor import BadRecord, parse_record

from tests.samples.hypervisors import RECORD

from .preflight_cluster import (
    MOVES,
    PROBED,
    QEMU,
    TARGET,
    about,
    cluster,
    guest,
    handler,
    judged,
    launcher,
    machine,
    node,
    only,
    severe,
)

ADA = Subject("VirtualMachineInstance", "default", "ada")
BOB = Subject("VirtualMachine", "default", "bob")
TAINTS = [{"key": "a", "effect": "NoSchedule"}]


def test_a_machine_type_that_the_targets_qemu_lacks_is_named_for_guests_and_stopped_vms() -> None:
    gone = cluster(
        guests=(guest(machine={"type": "pc-q35-2.4"}),),
        machines=(machine("bob", {"machine": {"type": "pc-q35-2.6"}}),),
    )
    first, second = severe(judged(gone))
    assert (first.subject, first.reason, first.severity) == (BOB, "MachineTypeGone", Severity.BLOCKING)
    assert (second.subject, second.reason) == (ADA, "MachineTypeGone")
    assert "pc-q35-2.4 is not known to QEMU 10.0.0" in second.message and "pc-q35-10.0" in second.message


def test_a_cpu_model_or_feature_that_the_target_lacks_is_named() -> None:
    gone = guest(spec={"domain": {"cpu": {"model": "qemu32", "features": [{"name": "vmx"}, {"name": "3dnow"}]}}})
    found = severe(judged(cluster(guests=(gone,))))
    assert [finding.reason for finding in found] == ["CpuModelGone", "CpuFeatureGone"]
    assert "qemu32" in found[0].message and "CPU features 3dnow are" in found[1].message
    known = guest(spec={"domain": {"cpu": {"model": "host-model", "features": [{"name": "vmx"}]}}})
    assert severe(judged(cluster(guests=(known,)))) == []


def test_features_are_not_judged_by_a_record_without_them() -> None:
    gone = guest(spec={"domain": {"cpu": {"features": [{"name": "3dnow"}]}}})
    assert severe(judged(cluster(guests=(gone,)), replace(PROBED, hypervisor=replace(QEMU, cpu_features=None)))) == []


def fixed(**spec: Any) -> Guest:
    """A guest that cannot move."""
    condition = {"type": "LiveMigratable", "status": "False", "reason": "HostDeviceNotLiveMigratable", "message": "gpu"}
    return guest(conditions=[condition], spec=spec)


def test_a_guest_that_cannot_move_is_named_with_its_reason_if_it_would_be_moved() -> None:
    found = only(judged(cluster(MOVES, guests=(fixed(),))))
    assert (found.subject, found.reason, found.severity) == (ADA, "NotMigratable", Severity.BLOCKING)
    assert "HostDeviceNotLiveMigratable: gpu; add the method Evict" in found.message
    assert severe(judged(cluster(guests=(fixed(),)))) == []  # nothing moves it


def test_a_guest_that_cannot_move_is_evicted_if_that_is_allowed() -> None:
    both = {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate", "Evict"]}}
    evicted = judged(cluster(both, guests=(fixed(),)))
    assert severe(evicted) == [] and about(evicted, ADA)[0].reason == "WillRestart"
    forbidden = only(judged(cluster(both, guests=(fixed(evictionStrategy="LiveMigrate"),))))
    assert forbidden.reason == "NotMigratable" and "Evict" not in forbidden.message


def test_a_guest_that_opts_out_or_does_not_run_yet_is_not_moved() -> None:
    metadata = msgspec.structs.replace(fixed().metadata, annotations={"kubevirt.io/workload-update": "Never"})
    for kept in (msgspec.structs.replace(fixed(), metadata=metadata), guest(phase="Scheduling", conditions=[])):
        left = judged(cluster(MOVES, guests=(kept,)))
        assert severe(left) == [] and about(left, ADA)[0].reason == "KeepsLauncher"


def test_a_guest_of_which_nothing_is_known_yet_is_a_warning() -> None:
    found = only(judged(cluster(MOVES, guests=(guest(conditions=[]),))))
    assert (found.reason, found.severity) == ("NotYetKnown", Severity.WARNING)


@pytest.mark.parametrize(
    ("pods", "nodes", "why"),
    [
        ((launcher(), launcher("eve", "node2", "7500Mi")), (), "none of 1 has enough memory left"),
        ((launcher(nodeSelector={"zone": "node1"}),), (), "no other node that takes guests has the labels and taints"),
        ((launcher(),), (node("node1"),), "no other node"),
        ((launcher(),), (node("node1"), node("node2", spec={"unschedulable": True})), "no other node"),
        (
            (launcher(),),
            (node("node1"), node("node2", spec={"taints": [{"key": "a", "effect": "NoSchedule"}]})),
            "no other",
        ),
    ],
)
def test_a_guest_without_room_on_another_node_is_named_with_what_is_missing(pods: Any, nodes: Any, why: str) -> None:
    full = cluster(MOVES, pods=pods)
    full = replace(full, nodes=nodes, handlers=tuple(handler(n.metadata.name) for n in nodes)) if nodes else full
    found = only(judged(full))
    assert (found.subject, found.reason, found.severity) == (ADA, "NoRoom", Severity.BLOCKING)
    assert why in found.message and "no other node than node1" in found.message


def test_pods_that_have_ended_take_no_room_and_a_toleration_opens_a_tainted_node() -> None:
    ended = msgspec.structs.replace(launcher("eve", "node2", "7500Mi"), status=type(launcher().status)("Succeeded"))
    assert severe(judged(cluster(MOVES, pods=(launcher(), ended)))) == []
    tolerating = launcher(tolerations=[{"key": "a", "operator": "Exists"}])
    tainted = (node("node1"), node("node2", spec={"taints": TAINTS}))
    assert severe(judged(cluster(MOVES, pods=(tolerating,), nodes=tainted))) == []


@pytest.mark.parametrize(("tag", "old"), [("v1.0.7", True), ("v1.1.0", False), ("prod-41", False)])
def test_a_launcher_that_is_older_than_the_target_works_with_is_named(tag: str, old: bool) -> None:
    aged = guest(launcherContainerImageVersion=f"registry.example:5000/suite/virt-launcher:{tag}")
    found = severe(judged(cluster(guests=(aged,))))
    assert [finding.reason for finding in found] == (["LauncherTooOld"] if old else [])
    assert not found or (found[0].severity is Severity.BLOCKING and "3 releases before v1.3.0" in found[0].message)


def test_a_claim_that_cannot_be_shared_is_named_for_a_guest_that_would_be_moved() -> None:
    bound = guest(
        conditions=[{"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"}],
        volumeStatus=[
            {"name": "a", "persistentVolumeClaimInfo": {"claimName": "data", "accessModes": ["ReadWriteOnce"]}},
            {"name": "b", "persistentVolumeClaimInfo": {"claimName": "shared", "accessModes": ["ReadWriteMany"]}},
        ],
    )
    found = only(judged(cluster(MOVES, guests=(bound,))))
    assert (found.subject, found.reason, found.severity) == (ADA, "ClaimNotShared", Severity.BLOCKING)
    assert (
        "data (ReadWriteOnce)" in found.message and "shared" not in found.message.partition("data")[2].partition(";")[0]
    )


def test_the_record_of_a_launcher_is_read_with_aliases_and_only_the_family_that_is_started() -> None:
    found = parse_record(RECORD.encode())
    assert (found.qemu, found.libvirt, found.cpu_models) == ("7.2.22", "9.0.0", frozenset({"Nehalem", "qemu64"}))
    assert "q35" in found.machine_types and "pc-q35-2.9" in found.machine_types and "pc" not in found.machine_types
    for text in (b"", b"[]", b"\xff", b'{"qemu": 1}'):
        with pytest.raises(BadRecord):
            parse_record(text)


def test_moves_of_guests_are_counted_as_many_at_a_time_as_the_cluster_allows() -> None:
    def seconds(parallel: int) -> float:
        spec = {**MOVES, "configuration": {"migrations": {"parallelMigrationsPerCluster": parallel}}}
        many = tuple(guest(f"g{number}") for number in range(20))
        return judged(cluster(spec, guests=many, pods=())).seconds

    assert seconds(1) - seconds(10) == pytest.approx(20 * 10 - 2 * 10, abs=1)


PIN = "kubevirt.io/launcher-release"


def pinned(found: Any, tag: str | None) -> Any:
    """The object with the annotation."""
    annotations = {PIN: tag} if tag is not None else {}
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, annotations=annotations))


def on(tag: str) -> str:
    """The image of a launcher."""
    return TARGET.image("virt-launcher").replace("v1.3.0", tag)


def test_a_guest_with_the_launcher_that_it_asks_for_keeps_it_whatever_the_targets_qemu_lacks() -> None:
    old = guest(launcherContainerImageVersion=on("v1.1.0-3f2a"), machine={"type": "pc-q35-2.4"})
    plan = judged(cluster(MOVES, guests=(pinned(old, "v1.1.0-3f2a"),)))
    assert severe(plan) == []
    (found,) = about(plan, ADA)
    assert (found.reason, found.severity) == ("PinnedLauncher", Severity.INFO)
    assert found.message == f"runs on; new starts and moves have the launcher v1.1.0-3f2a, as its annotation {PIN} says"


def test_a_guest_with_another_launcher_than_it_asks_for_moves() -> None:
    plan = judged(cluster(MOVES, guests=(guest(),), launcher_defaults={"default": "v1.1.0"}))
    assert [finding.reason for finding in about(plan, ADA)] == ["WillMigrate"]


def test_a_stopped_vm_that_asks_for_a_launcher_starts_with_it() -> None:
    gone = machine("bob", {"machine": {"type": "pc-q35-2.6"}})
    plan = judged(cluster(machines=(gone,), launcher_defaults={"default": "v1.2.3"}))
    (found,) = about(plan, BOB)
    assert (found.reason, found.severity) == ("PinnedLauncher", Severity.INFO)
    assert "the launcher v1.2.3, as the annotation of Namespace default" in found.message
    template = msgspec.convert({"template": {"metadata": {"annotations": {PIN: ""}}}}, type(gone.spec))
    own = judged(
        cluster(machines=(msgspec.structs.replace(gone, spec=template),), launcher_defaults={"default": "v1.2.3"})
    )
    assert [finding.reason for finding in about(own, BOB)] == ["StartsOnTarget"]


@pytest.mark.parametrize("tag", ["v1.0.0", "v1.4.0", "latest", "v2.3.0"])
def test_a_launcher_that_the_target_does_not_start_is_named_for_guests_and_stopped_vms(tag: str) -> None:
    asking = cluster(MOVES, guests=(pinned(guest(), tag),), machines=(pinned(machine(), tag),))
    found = severe(judged(asking))
    assert [finding.subject for finding in found] == [BOB, ADA]
    assert {(finding.reason, finding.severity) for finding in found} == {("PinnedLauncherRefused", Severity.WARNING)}
    assert all("v1.3.0 starts launchers of at most 2 releases before it" in finding.message for finding in found)


def test_a_guest_in_a_launcher_that_is_too_old_blocks_and_says_what_keeps_it_there() -> None:
    old = pinned(guest(launcherContainerImageVersion=on("v1.0.0")), "v1.0.0")
    found = severe(judged(cluster(guests=(old,))))
    assert [finding.reason for finding in found] == ["LauncherTooOld", "PinnedLauncherRefused"]

"""What each side of a migration does next follows from the object and from what its launcher reports."""

from __future__ import annotations

from typing import Any

import pytest
from kubevirt.launcher.v1 import migration_pb2, state_pb2
from virt_handler.machines.actions import PatchStatus, PrepareDisks, PrepareNetwork, RecordEvent
from virt_handler.machines.guest_state import GuestState
from virt_handler.machines.observe import Observed, counting_pod
from virt_handler.machines.plan import plan as machine_plan
from virt_handler.machines.sides import Side, moves_to, side_of
from virt_handler.migration import source, target
from virt_handler.migration.actions import (
    AbortTarget,
    CancelMigration,
    CommitTarget,
    ForwardToTarget,
    LookAgain,
    PrepareTarget,
    PublishIdentity,
    StartMigration,
)
from virt_handler.migration.observe import ObservedSide
from virt_handler.migration.report import NEVER_HEARD, MigrationReport, Progress
from virt_handler.network.plan import PodNetwork

from tests.unit.handler.demo import VMI_UID, MakeVmi
from tests.unit.handler.planning import NOW, accepted, apply

A, B = "pod-a", "pod-b"
HANDED_OFF = {
    "migrationUid": "m1",
    "sourceNode": "node1",
    "sourcePodUID": A,
    "targetNode": "node2",
    "targetPodUID": B,
    "migrationConfiguration": {"bandwidthPerMigration": "64Mi", "completionTimeoutPerGiB": 100, "progressTimeout": 7},
}
IDENTIFIED = HANDED_OFF | {
    "sourceCertificateAuthority": "CA of a",
    "sourceAddress": "10.244.1.7",
    "sourceDisks": {"root": 2 * 10**9},
}
PREPARED = IDENTIFIED | {
    "targetCertificateAuthority": "CA of b",
    "targetNodeAddress": "10.244.2.9",
    "targetDirectMigrationNodePorts": {"49152": 0, "16514": 0},
}
STARTED = PREPARED | {"startTimestamp": "2026-01-31T09:59:58Z", "mode": "PreCopy"}
FAILED = STARTED | {"failed": True, "completed": True, "failureReason": "words"}
SUCCEEDED = STARTED | {"completed": True}
ABORT = {"abortRequested": True}
GIVEN_UP = STARTED | {"sourceSwitched": True}

RUNNING = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING)
PAUSED = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_PAUSED)
MIGRATED = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_MIGRATED)
INCOMING = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_INCOMING)
ABSENT = GuestState("", state_pb2.MACHINE_PHASE_ABSENT)
UNKNOWN = GuestState("", state_pb2.MACHINE_PHASE_UNKNOWN)
PREPARED_REPORT = MigrationReport(Progress.NOT_STARTED, "waits for its target")
COPYING, SWITCHED = MigrationReport(Progress.COPYING), MigrationReport(Progress.SWITCHED)
HELD_UP = MigrationReport(Progress.SWITCHED, "the target does not start the guest: unable to connect")
COMMITTED = MigrationReport(Progress.COMMITTED)
ABORTED = MigrationReport(Progress.ABORTED, "connection refused")
CANCELED = MigrationReport(Progress.ABORTED, "canceled", canceled=True)
ADDRESSES = {"node1": "10.244.1.7", "node2": "10.244.2.9"}


def side(
    make_vmi: MakeVmi,
    state: dict[str, Any],
    guest: GuestState | None,
    report: MigrationReport | None = None,
    *,
    node: str = "node1",
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> ObservedSide:
    pods = {A: "node1", B: "node2"}
    stored = {"phase": "Running", "nodeName": "node1", "migrationState": state, **status}
    vmi = make_vmi(status=stored, spec=spec)
    vmi = vmi.with_status({**vmi.raw_status, "activePods": status.get("activePods", pods)})
    network = PodNetwork(1500, (ADDRESSES[node],)) if guest is not None else None
    observed = Observed(vmi, node, accepted(vmi), guest=guest, network=network)
    assert vmi.status.migration_state is not None
    return ObservedSide(observed, vmi.status.migration_state, report)


def kinds(actions: tuple[Any, ...]) -> list[type]:
    return [type(action) for action in actions]


@pytest.mark.parametrize(
    ("state", "guest", "report", "expected"),
    [
        (HANDED_OFF, None, None, []),
        (HANDED_OFF, UNKNOWN, NEVER_HEARD, []),
        (HANDED_OFF, RUNNING, None, [PublishIdentity]),
        (HANDED_OFF | ABORT, RUNNING, None, []),
        (HANDED_OFF | ABORT, RUNNING, NEVER_HEARD, [CancelMigration]),
        (HANDED_OFF | ABORT, RUNNING, CANCELED, [PatchStatus, RecordEvent]),
        (IDENTIFIED, RUNNING, NEVER_HEARD, []),
        (PREPARED, RUNNING, None, []),
        (PREPARED, RUNNING, NEVER_HEARD, [PatchStatus, StartMigration]),
        (PREPARED, RUNNING, PREPARED_REPORT, [PatchStatus, StartMigration]),
        (PREPARED, RUNNING, MigrationReport(Progress.UNKNOWN), []),
        (PREPARED, RUNNING, COPYING, [PatchStatus]),
        (STARTED, RUNNING, NEVER_HEARD, [StartMigration]),
        (STARTED | {"startTimestamp": "2026-01-31T09:54:59Z"}, RUNNING, NEVER_HEARD, [CancelMigration]),
        (STARTED | {"startTimestamp": "2026-01-31T10:05:01Z"}, RUNNING, NEVER_HEARD, [CancelMigration]),  # set back
        (STARTED, RUNNING, COPYING, []),
        (STARTED, RUNNING, MigrationReport(Progress.COPYING, mode="Paused"), [PatchStatus]),
        (STARTED | ABORT, RUNNING, COPYING, [CancelMigration]),
        (STARTED | ABORT, MIGRATED, SWITCHED, [ForwardToTarget]),
        (STARTED, MIGRATED, SWITCHED, [ForwardToTarget]),
        (STARTED, MIGRATED, COMMITTED, [ForwardToTarget]),
        (STARTED, MIGRATED, HELD_UP, [ForwardToTarget, PatchStatus]),
        (GIVEN_UP, MIGRATED, HELD_UP, [ForwardToTarget]),
        (STARTED, RUNNING, ABORTED, [PatchStatus, RecordEvent]),
        (FAILED, RUNNING, ABORTED, []),
        (FAILED, RUNNING, COPYING, [CancelMigration]),
        (FAILED, RUNNING, NEVER_HEARD, [CancelMigration]),
        (FAILED, RUNNING, PREPARED_REPORT, [CancelMigration]),
        (HANDED_OFF | {"failed": True, "completed": True}, RUNNING, NEVER_HEARD, []),
        (FAILED, MIGRATED, SWITCHED, [ForwardToTarget]),
        (SUCCEEDED, RUNNING, SWITCHED, [ForwardToTarget]),
        (SUCCEEDED, MIGRATED, None, [ForwardToTarget, LookAgain]),
        (SUCCEEDED, MIGRATED, SWITCHED, [ForwardToTarget, LookAgain]),
    ],
)
def test_the_next_step_of_the_source(
    make_vmi: MakeVmi, state: dict[str, Any], guest: GuestState, report: Any, expected: list[type]
) -> None:
    assert kinds(source.plan(side(make_vmi, state, guest, report), NOW)) == expected


@pytest.mark.parametrize(
    ("state", "guest", "status", "expected"),
    [
        (HANDED_OFF, None, {}, []),
        (HANDED_OFF, ABSENT, {}, []),
        (IDENTIFIED, UNKNOWN, {}, []),
        (IDENTIFIED, ABSENT, {}, [PrepareNetwork, PrepareTarget]),
        (IDENTIFIED, INCOMING, {}, [PrepareNetwork, PrepareTarget]),
        (IDENTIFIED | ABORT, ABSENT, {}, []),
        (IDENTIFIED | {"sourceAddress": "?"}, ABSENT, {}, [PatchStatus, RecordEvent]),
        (PREPARED, INCOMING, {}, []),
        (STARTED, INCOMING, {}, []),
        (STARTED, INCOMING, {"activePods": {B: "node2"}}, [AbortTarget, PatchStatus, RecordEvent]),
        (GIVEN_UP, INCOMING, {"activePods": {B: "node2"}}, [CommitTarget]),
        (GIVEN_UP, INCOMING, {}, []),
        (IDENTIFIED, ABSENT, {"activePods": {B: "node2"}}, [AbortTarget, PatchStatus, RecordEvent]),
        (HANDED_OFF, RUNNING, {}, [PatchStatus, RecordEvent]),
        (IDENTIFIED, PAUSED, {}, [PatchStatus, RecordEvent]),
        (IDENTIFIED | {"failed": True, "completed": True}, RUNNING, {}, [AbortTarget]),
        (STARTED, RUNNING, {}, [PrepareNetwork, PatchStatus, RecordEvent]),
        (STARTED, RUNNING, {"activePods": {B: "node2"}}, [PrepareNetwork, PatchStatus, RecordEvent]),
        (FAILED, INCOMING, {}, [AbortTarget]),
        (FAILED, ABSENT, {}, [AbortTarget]),
        (FAILED, RUNNING, {}, [PrepareNetwork, PatchStatus, RecordEvent]),
        (STARTED, INCOMING, {"phase": "Failed"}, [AbortTarget]),
        (STARTED, RUNNING, {"phase": "Failed"}, []),
    ],
)
def test_the_next_step_of_the_target(
    make_vmi: MakeVmi, state: dict[str, Any], guest: GuestState, status: dict[str, Any], expected: list[type]
) -> None:
    assert kinds(target.plan(side(make_vmi, state, guest, node="node2", **status), NOW)) == expected


def test_a_guest_cannot_arrive_at_a_target_that_was_not_prepared(make_vmi: MakeVmi) -> None:
    lying = side(make_vmi, IDENTIFIED, RUNNING, node="node2")
    patch, event = target.plan(lying, NOW)
    assert isinstance(patch, PatchStatus) and isinstance(event, RecordEvent)
    after = apply(lying.machine.vmi.raw_status, patch.operations)
    assert (after["phase"], after["nodeName"], after["activePods"]) == ("Running", "node1", {A: "node1", B: "node2"})
    assert after["migrationState"]["failed"] and "cannot have arrived" in after["migrationState"]["failureReason"]


LYING_SOURCES = [
    (HANDED_OFF, MIGRATED, COMMITTED),
    (IDENTIFIED, MIGRATED, SWITCHED),
    (STARTED, MIGRATED, COMMITTED),
    (STARTED, INCOMING, COPYING),
    (STARTED, INCOMING, COMMITTED),
    (STARTED | ABORT, RUNNING, COMMITTED),
    (STARTED, GuestState("another machine", state_pb2.MACHINE_PHASE_ENDED), ABORTED),
]


@pytest.mark.parametrize(("state", "guest", "report"), LYING_SOURCES)
def test_a_source_that_lies_neither_moves_nor_ends_the_guest(
    make_vmi: MakeVmi, state: dict[str, Any], guest: GuestState, report: MigrationReport
) -> None:
    leaving = side(make_vmi, state, guest, report)
    for action in source.plan(leaving, NOW):
        if isinstance(action, ForwardToTarget):
            continue  # it sends away its own guest's clients
        assert isinstance(action, PatchStatus), action
        after = apply(leaving.machine.vmi.raw_status, action.operations)
        assert (after["phase"], after["nodeName"], after["activePods"]) == (
            "Running",
            "node1",
            {A: "node1", B: "node2"},
        )
        assert "completed" not in after["migrationState"] and "failed" not in after["migrationState"]


def test_a_hand_over_that_is_held_up_is_noted_for_the_death_of_the_source(make_vmi: MakeVmi) -> None:
    leaving = side(make_vmi, STARTED, MIGRATED, HELD_UP)
    _, patch = source.plan(leaving, NOW)
    assert isinstance(patch, PatchStatus)
    assert apply(leaving.machine.vmi.raw_status, patch.operations)["migrationState"] == GIVEN_UP


def test_the_hand_over_is_a_single_patch(make_vmi: MakeVmi) -> None:
    state = FAILED | ABORT
    arriving = side(make_vmi, state, RUNNING, node="node2", evacuationNodeName="node1", interfaces=[])
    network, patch, event = target.plan(arriving, NOW)
    assert isinstance(network, PrepareNetwork) and "16514" not in network.plan.ruleset
    assert isinstance(patch, PatchStatus) and isinstance(event, RecordEvent)
    assert (event.reason, event.message) == ("Migrated", "The VirtualMachineInstance migrated to node node2.")
    vmi = arriving.machine.vmi
    after = apply(vmi.raw_status, patch.operations)
    assert (after["phase"], after["nodeName"]) == ("Running", "node2")
    assert after["interfaces"][0]["ipAddress"] == "10.244.2.9"
    assert "evacuationNodeName" not in after
    written = after["migrationState"]
    assert written["completed"] and written["targetNodeDomainDetected"] and "failed" not in written
    assert written["endTimestamp"] == written["targetNodeDomainReadyTimestamp"] == "2026-01-31T10:00:00Z"
    assert written["startTimestamp"] == STARTED["startTimestamp"]
    assert written["abortStatus"] == "Failed"  # the request came too late


@pytest.mark.parametrize(
    ("state", "pods", "reason"),
    [
        (STARTED | ABORT, {A: "node1", B: "node2"}, "Live migration aborted "),
        (STARTED, {A: "node1"}, "target pod web-b has ended"),
        (STARTED, {A: "node1", B: "node2"}, "the source's launcher did not begin the copy in time"),
    ],
    ids=["on request", "without its target", "too late"],
)
def test_a_migration_that_was_canceled_says_why(
    make_vmi: MakeVmi, state: dict[str, Any], pods: dict[str, str], reason: str
) -> None:
    leaving = side(make_vmi, state | {"targetPod": "web-b"}, RUNNING, CANCELED, activePods=pods)
    patch, _ = source.plan(leaving, NOW)
    assert isinstance(patch, PatchStatus)
    after = apply(leaving.machine.vmi.raw_status, patch.operations)
    assert after["migrationState"]["failureReason"] == reason


def test_the_hand_over_leaves_what_only_the_source_may_write(make_vmi: MakeVmi) -> None:
    """The admission policy of handlers would refuse it as a whole."""
    arriving = side(make_vmi, STARTED | {"progress": {"remainingBytes": 1}}, RUNNING, node="node2", interfaces=[])
    _, patch, _ = target.plan(arriving, NOW)
    assert isinstance(patch, PatchStatus)
    assert apply(arriving.machine.vmi.raw_status, patch.operations)["migrationState"]["progress"] == {
        "remainingBytes": 1
    }


def test_a_target_is_prepared_with_the_sources_machine_and_disks(make_vmi: MakeVmi) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]
    claim = {"name": "data", "persistentVolumeClaimInfo": {"volumeMode": "Filesystem"}}
    paused = {"type": "Paused", "status": "True", "reason": "PausedByUser"}
    arriving = side(
        make_vmi,
        IDENTIFIED,
        ABSENT,
        node="node2",
        spec={"volumes": volumes},
        volumeStatus=[claim],
        machine={"type": "pc-q35-7.2"},
        conditions=[paused],
    )
    network, disks, prepare = target.plan(arriving, NOW)
    assert isinstance(network, PrepareNetwork) and "ip saddr 10.244.1.7 tcp dport" in network.plan.ruleset
    assert isinstance(disks, PrepareDisks) and isinstance(prepare, PrepareTarget)
    request = prepare.request
    assert (request.machine.uid, request.machine.machine_type, request.machine.start_paused) == (
        VMI_UID,
        "pc-q35-7.2",
        True,
    )
    assert (request.address, request.peer_address, request.certificate_authority) == (
        "10.244.2.9",
        "10.244.1.7",
        "CA of a",
    )
    assert [(disk.name, disk.bytes) for disk in request.copied_disks] == [("root", 2 * 10**9)]


def test_a_migration_starts_as_it_is_configured(make_vmi: MakeVmi) -> None:
    _, start = source.plan(side(make_vmi, PREPARED, RUNNING, NEVER_HEARD), NOW)
    assert isinstance(start, StartMigration)
    wanted = start.request
    assert (wanted.target.address, list(wanted.target.ports)) == ("10.244.2.9", [16514, 49152])
    options = wanted.options
    assert (options.bandwidth_bytes_per_second, options.progress_timeout.seconds) == (64 << 20, 7)
    assert options.completion_timeout.seconds == 300  # 128 MiB of memory and 2 GB of disk are 3 times 10^9 bytes
    assert options.tls and not options.post_copy and not options.allow_workload_disruption
    assert isinstance(wanted, migration_pb2.StartMigrationRequest)


def test_a_copy_starts_only_after_its_start_is_reported_and_nobody_has_ended_the_migration(make_vmi: MakeVmi) -> None:
    prepared = side(make_vmi, PREPARED, RUNNING, NEVER_HEARD)
    patch, start = source.plan(prepared, NOW)
    assert isinstance(patch, PatchStatus) and isinstance(start, StartMigration)
    version = prepared.machine.vmi.metadata.resource_version
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": version} in patch.operations
    assert apply(prepared.machine.vmi.raw_status, patch.operations)["migrationState"]["startTimestamp"]


def test_a_guest_that_left_for_a_target_that_is_proven_dead_has_failed(make_vmi: MakeVmi) -> None:
    lost = side(make_vmi, FAILED, MIGRATED, SWITCHED, activePods={A: "node1"})
    _, patch, event = source.plan(lost, NOW)
    assert isinstance(patch, PatchStatus) and isinstance(event, RecordEvent)
    after = apply(lost.machine.vmi.raw_status, patch.operations)
    assert (after["phase"], after["reason"]) == ("Failed", "MigrationLostGuest")


def test_a_copy_to_a_target_whose_pod_is_gone_is_canceled(make_vmi: MakeVmi) -> None:
    without = {A: "node1"}
    assert source.plan(side(make_vmi, STARTED, RUNNING, COPYING, activePods=without), NOW) == (
        CancelMigration("m1", True),
    )


def test_a_guest_whose_target_is_gone_after_the_switch_has_failed(make_vmi: MakeVmi) -> None:
    lost = side(make_vmi, STARTED, MIGRATED, SWITCHED, activePods={A: "node1"})
    _, patch, event = source.plan(lost, NOW)
    assert isinstance(patch, PatchStatus) and isinstance(event, RecordEvent)
    after = apply(lost.machine.vmi.raw_status, patch.operations)
    assert (after["phase"], after["reason"]) == ("Failed", "MigrationLostGuest")


@pytest.mark.parametrize("ended", [False, True])
def test_a_source_need_not_wait_for_a_target_that_is_proven_dead(make_vmi: MakeVmi, ended: bool) -> None:
    pods = {A: "node1"} if ended else {A: "node1", B: "node2"}
    assert source.plan(side(make_vmi, FAILED, RUNNING, COPYING, activePods=pods), NOW) == (
        CancelMigration("m1", ended),
    )


@pytest.mark.parametrize("node", ["node1", "node2"])
@pytest.mark.parametrize("guest", [MIGRATED, INCOMING, GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, end=6)])
def test_neither_an_incoming_nor_a_migrated_guest_changes_the_phase(
    make_vmi: MakeVmi, node: str, guest: GuestState
) -> None:
    assert machine_plan(side(make_vmi, STARTED, guest, node=node).machine, NOW) == ()


@pytest.mark.parametrize(
    ("state", "node_name", "counting"),
    [
        (STARTED, "node1", A),
        (FAILED, "node1", A),
        (SUCCEEDED, "node1", B),
        (SUCCEEDED, "node2", None),
        ({}, "node1", None),
    ],
)
def test_of_two_pods_on_a_node_the_side_decides_which_counts(
    make_vmi: MakeVmi, state: dict[str, Any], node_name: str, counting: str | None
) -> None:
    vmi = make_vmi(status={"migrationState": state, "nodeName": node_name})
    vmi = vmi.with_status({**vmi.raw_status, "activePods": {A: "node1", B: "node1"}})
    assert counting_pod(vmi, "node1") == counting


@pytest.mark.parametrize(
    ("state", "a", "b"),
    [
        ({}, Side.NONE, Side.NONE),
        (STARTED, Side.SOURCE, Side.TARGET),
        (FAILED, Side.SOURCE, Side.TARGET),
        (SUCCEEDED, Side.LEFT, Side.NONE),
    ],
)
def test_a_pods_side_follows_from_the_migrations_state(
    make_vmi: MakeVmi, state: dict[str, Any], a: Side, b: Side
) -> None:
    vmi = make_vmi(status={"migrationState": state})
    assert (side_of(vmi, A), side_of(vmi, B), side_of(vmi, "other")) == (a, b, Side.NONE)


@pytest.mark.parametrize(
    ("state", "node"),
    [({}, ""), (PREPARED, ""), (STARTED, "node2"), (FAILED, ""), (SUCCEEDED, "node2")],
)
def test_a_guest_moves_from_the_start_of_its_migration_unless_it_failed(
    make_vmi: MakeVmi, state: dict[str, Any], node: str
) -> None:
    vmi = make_vmi(status={"migrationState": state})
    assert (moves_to(vmi, A), moves_to(vmi, B)) == (node, "")

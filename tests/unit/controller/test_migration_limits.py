"""Which migrations begin: within KubeVirt's limits, evacuations first, whoever counts; the others say what they wait
for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from virt_controller.migration.back_off import seconds_to_begin
from virt_controller.migration.limits import Candidate, waits_for, waits_to_arrive
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.migration_configuration import MigrationConfiguration

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def job(
    name: str,
    phase: str = "",
    created: str = "2026-01-01T00:00:00Z",
    failed: str = "",
    priority: str = "",
    **annotations: str,
) -> VirtualMachineInstanceMigration:
    keys = {"evacuation": "kubevirt.io/evacuationMigration", "skip": "kubevirt.io/func-test-ignore-migration-backoff"}
    meta = {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": created}
    meta["annotations"] = {keys[key]: value for key, value in annotations.items()}  # type: ignore[assignment]
    moments = [{"phase": "Failed", "phaseTransitionTimestamp": failed}] if failed else []
    status = {"phase": phase, "phaseTransitionTimestamps": moments}
    body = {"metadata": meta, "spec": {"vmiName": name, "priority": priority}, "status": status}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstanceMigration)


def settings(cluster: int = 5, node: int = 2) -> MigrationConfiguration:
    limits: dict[str, Any] = {"parallelMigrationsPerCluster": cluster, "parallelOutboundMigrationsPerNode": node}
    return msgspec.convert(limits, MigrationConfiguration).resolved()


def waiting(*candidates: Candidate, cluster: int = 5, node: int = 2) -> set[str]:
    """Names of those that may not begin."""
    pending = [found.job.metadata.name for found in candidates if found.job.status.phase in ("", "Pending")]
    return {name for name in pending if waits_for(name, candidates, settings(cluster, node))}


def test_no_more_begin_than_the_cluster_may_have() -> None:
    found = [Candidate(job(name), f"node-{name}") for name in "abc"]
    assert waiting(*found, cluster=2) == {"c"}
    assert waiting(Candidate(job("z", "Running"), "other"), *found, cluster=2) == {"b", "c"}


def test_no_more_leave_a_node_than_may() -> None:
    found = [Candidate(job(name), "node1") for name in "abc"]
    assert waiting(*found, Candidate(job("d"), "node2")) == {"c"}
    assert waiting(Candidate(job("z", "Scheduling"), "node1"), *found) == {"b", "c"}


def test_no_more_arrive_at_a_node_than_may() -> None:
    arriving = [Candidate(job(name, "Running"), "n1", target=target) for name, target in (("y", "n9"), ("z", "n9"))]
    first, second = (Candidate(job(name, "Scheduling"), "n2", bound="n9") for name in "ab")
    reason = "2 migrations arrive at node n9, parallelOutboundMigrationsPerNode is 2"
    assert waits_to_arrive("a", "n9", [*arriving, first], settings()) == reason
    assert waits_to_arrive("a", "n8", [*arriving, first], settings()) == ""
    assert waits_to_arrive("a", "n9", [arriving[0], first, second], settings()) == ""
    assert waits_to_arrive("b", "n9", [arriving[0], first, second], settings()) == reason
    ended = Candidate(job("z", "Failed"), "n1", target="n9")
    assert waits_to_arrive("a", "n9", [arriving[0], ended, first], settings()) == ""


def test_what_one_waits_for_names_the_limit_and_the_node() -> None:
    found = [Candidate(job(name), "node1") for name in "ab"]
    assert waits_for("b", found, settings(node=1)) == (
        "1 migrations leave node node1, parallelOutboundMigrationsPerNode is 1"
    )


def test_with_a_limit_of_none_it_waits_for_whoever_sets_it() -> None:
    found = [Candidate(job("a"), "node1")]
    assert waits_for("a", found, settings(cluster=0)) == (
        "parallelMigrationsPerCluster is 0: no migration begins until it is larger"
    )
    assert waits_for("a", found, settings(node=0)) == (
        "parallelOutboundMigrationsPerNode is 0: no migration begins until it is larger"
    )


def test_evacuations_come_before_what_users_request_and_the_oldest_first() -> None:
    user, later = Candidate(job("a"), "n1"), Candidate(job("b", created="2026-01-02T00:00:00Z"), "n2")
    evacuation = Candidate(job("c", created="2026-01-03T00:00:00Z", priority="system-critical"), "n3")
    assert waiting(user, later, evacuation, cluster=1) == {"a", "b"}
    assert waiting(later, user, cluster=1) == {"b"}


def test_an_annotation_that_every_user_may_write_is_no_priority() -> None:
    user = Candidate(job("a", evacuation="n1"), "n1")
    evacuation = Candidate(job("b", created="2026-01-03T00:00:00Z", priority="system-maintenance"), "n2")
    assert waiting(user, evacuation, cluster=1) == {"a"}


def test_one_that_could_not_begin_holds_up_no_other() -> None:
    assert waiting(Candidate(job("a"), "n1", ready=False), Candidate(job("b"), "n1"), cluster=1) == set()


def test_finished_ones_do_not_count() -> None:
    assert waiting(Candidate(job("z", "Failed"), "n1"), Candidate(job("a"), "n1"), cluster=1) == set()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 20.0), (2, 40.0), (3, 80.0), (6, 640.0), (9, 640.0)])
def test_the_suites_own_wait_longer_with_each_failure(failures: int, seconds: float) -> None:
    others = [job(f"f{number}", "Failed", failed="2026-01-01T01:00:00Z") for number in range(failures)]
    assert seconds_to_begin(job("next", evacuation="n"), others, NOW) == seconds


def test_a_success_ends_the_back_off_and_users_do_not_wait() -> None:
    failed = job("a", "Failed", failed="2026-01-01T01:00:00Z")
    assert seconds_to_begin(job("next", evacuation="n"), [failed, job("b", "Succeeded")], NOW) == 0
    assert seconds_to_begin(job("next"), [failed], NOW) == 0
    assert seconds_to_begin(job("next", evacuation="n", skip=""), [failed], NOW) == 0


def test_a_failure_that_somebody_deletes_does_not_count() -> None:
    failed = job("a", "Failed", failed="2026-01-01T01:00:00Z")
    gone = msgspec.structs.replace(
        failed, metadata=msgspec.structs.replace(failed.metadata, deletion_timestamp="2026-01-01T01:00:00Z")
    )
    assert seconds_to_begin(job("next", evacuation="n"), [job("b", "Failed"), gone], NOW) <= 20
    assert seconds_to_begin(job("next", evacuation="n"), [gone], NOW) == 0


def test_a_clock_that_is_wrong_holds_up_no_migration() -> None:
    failed = job("a", "Failed", failed="nonsense")
    assert seconds_to_begin(job("next", evacuation="n"), [failed], NOW) <= 20
    ahead = job("a", "Failed", failed="2026-01-02T01:00:00Z")  # by the clock of another leader
    assert seconds_to_begin(job("next", evacuation="n"), [ahead], NOW) == 0

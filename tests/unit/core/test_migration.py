"""What controller, handlers and virt-api read of migrations: unknown values change nothing, the right policy counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_core.migration.migration import MigrationPhase, VirtualMachineInstanceMigration
from virt_core.migration.policy import MigrationPolicy, policy_for
from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

ONE_UNSET = {"vmiName": "a"}


def migration(status: dict[str, Any], spec: dict[str, Any] = ONE_UNSET) -> VirtualMachineInstanceMigration:
    body = {"metadata": {"name": "m", "namespace": "n"}, "spec": spec, "status": status}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstanceMigration)


def policy(name: str, of_vmi: dict[str, str], of_namespace: dict[str, str], **more: Any) -> MigrationPolicy:
    selectors = {"virtualMachineInstanceSelector": of_vmi, "namespaceSelector": of_namespace}
    body = {"metadata": {"name": name}, "spec": {"selectors": selectors, **more}}
    return msgspec.json.decode(msgspec.json.encode(body), type=MigrationPolicy)


@pytest.mark.parametrize("phase", ["Synchronizing", "Anything", 7])
def test_a_phase_of_another_release_is_unknown(phase: Any) -> None:
    read = migration({"phase": phase})
    assert read.status.phase is MigrationPhase.UNKNOWN
    assert not read.status.phase.final


def test_a_new_one_has_no_phase() -> None:
    assert migration({}).status.phase is MigrationPhase.UNSET
    assert migration({}).vmi_key == ("n", "a")


def test_a_spec_that_does_not_decode_moves_nothing() -> None:
    assert migration({}, {"vmiName": 1}).spec.vmi_name == ""


def test_a_migration_state_of_another_release_is_read() -> None:
    state = {"migrationUid": "u", "mode": "Teleport", "targetPodUID": "p", "unheardOf": [1], "completed": True}
    body = {"metadata": {"name": "a"}, "status": {"phase": "Running", "migrationState": state}}
    vmi = msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstance)
    assert vmi.status.phase is VmiPhase.RUNNING
    assert vmi.status.migration_state is not None
    assert vmi.status.migration_state.target_pod_uid == "p"
    assert vmi.status.migration_state.succeeded
    assert not vmi.status.migration_state.active


def test_without_settings_kubevirts_defaults_count() -> None:
    resolved = MigrationConfiguration().resolved()
    assert (resolved.parallel_migrations_per_cluster, resolved.parallel_outbound_migrations_per_node) == (5, 2)
    assert (resolved.completion_timeout_per_gib, resolved.progress_timeout) == (150, 150)
    assert resolved.bandwidth_bytes == 0
    assert resolved.allow_workload_disruption is False


@pytest.mark.parametrize(
    ("cluster", "own", "disrupts"),
    [
        ({}, {"allowPostCopy": True}, True),
        ({"allowPostCopy": True}, {}, True),
        ({}, {"allowPostCopy": True, "allowWorkloadDisruption": False}, False),
        ({"allowWorkloadDisruption": True}, {"allowPostCopy": False}, False),
        ({"allowWorkloadDisruption": True}, {}, True),
    ],
)
def test_disruption_is_allowed_with_post_copy_unless_said_otherwise(
    cluster: dict[str, Any], own: dict[str, Any], disrupts: bool
) -> None:
    found = policy("p", {"a": "b"}, {}, **own).spec.configuration
    resolved = found.over(msgspec.convert(cluster, MigrationConfiguration)).resolved()
    assert resolved.allow_workload_disruption is disrupts


def test_a_policy_overrides_what_it_sets() -> None:
    cluster = msgspec.convert({"bandwidthPerMigration": "64Mi", "progressTimeout": 10}, MigrationConfiguration)
    own = policy("p", {"a": "b"}, {}, bandwidthPerMigration="1Mi").spec.configuration
    resolved = own.over(cluster).resolved()
    assert (resolved.bandwidth_bytes, resolved.progress_timeout) == (1 << 20, 10)


@pytest.mark.parametrize(
    ("policies", "wanted"),
    [
        ([policy("none", {}, {})], None),
        ([policy("other", {"app": "db"}, {})], None),
        ([policy("half", {"app": "web"}, {"zone": "2"})], None),
        ([policy("one", {"app": "web"}, {}), policy("two", {"app": "web"}, {"zone": "1"})], "two"),
        ([policy("a-namespace", {}, {"zone": "1"}), policy("b-machine", {"app": "web"}, {})], "b-machine"),
        ([policy("b", {"app": "web"}, {}), policy("a", {"app": "web"}, {})], "a"),
    ],
)
def test_the_policy_with_most_labels_counts(policies: list[MigrationPolicy], wanted: str | None) -> None:
    found = policy_for(policies, {"zone": "1"}, {"app": "web"})
    assert (found.metadata.name if found is not None else None) == wanted

"""A KubeVirt object from a cluster that migrates from KubeVirt: which fields are accepted, and their effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectMeta
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import FEATURE_GATES, status_of
from virt_operator.suite.feature_gates import gate_warnings
from virt_operator.suite.spec import SUPPORTED, RefusedSpec, install_settings, operator_verbosity
from virt_operator.webhook.review import AdmissionRequest, Reviewed
from virt_operator.webhook.rules import warnings

from tests.unit.operator.suites import OPERATOR, installed, suite

# Accepted with no reader: they ask for what is so anyway, or are answered by a warning (feature_gates.py).
WITHOUT_READER = {
    "configuration.commonInstancetypesDeployment.enabled",  # read by the operator only
    "configuration.virtualMachineOptions.disableSerialConsoleLog",
    "configuration.developerConfiguration.featureGates",
    "configuration.developerConfiguration.disabledFeatureGates",
}
# Read as parts of a migration's state, which other releases may write.
NOT_OFFERED = {
    f"configuration.migrations.{field}"
    for field in ("network", "utilityVolumesTimeout", "matchSELinuxLevelOnMigration")
}
MOST_HAVE = ["LiveMigration", "Snapshot", "ExpandDisks", "NonRoot"]


def developer(**fields: Any) -> dict[str, Any]:
    return {"configuration": {"developerConfiguration": fields}}


def read_paths(kind: inspect.Type, above: str) -> Iterator[str]:
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        path = f"{above}.{field.encode_name}"
        if isinstance(field.type, inspect.StructType):
            yield from read_paths(field.type, path)
        else:
            yield path


def test_each_field_of_the_configuration_is_supported_exactly_if_somebody_reads_it() -> None:
    read = set(read_paths(inspect.type_info(Configuration), "configuration")) - NOT_OFFERED
    supported = {path for path in SUPPORTED if path.startswith("configuration.")}
    assert supported - WITHOUT_READER == read


def test_overcommit_is_accepted_and_bad_values_are_refused_by_field() -> None:
    install_settings(developer(cpuAllocationRatio=4, memoryOvercommit=150), OPERATOR)
    with pytest.raises(RefusedSpec, match=r"developerConfiguration\.memoryOvercommit: -1 is not a number from 0"):
        install_settings(developer(memoryOvercommit=-1), OPERATOR)
    with pytest.raises(RefusedSpec, match=r"cpuAllocationRatio: 'many'"):
        install_settings(developer(cpuAllocationRatio="many"), OPERATOR)


def test_settings_of_migrations_are_accepted_and_bad_values_are_refused_by_field() -> None:
    good = {"parallelMigrationsPerCluster": 3, "bandwidthPerMigration": "64Mi", "allowAutoConverge": True}
    install_settings({"configuration": {"migrations": good, "evictionStrategy": "LiveMigrate"}}, OPERATOR)
    for field, value in (
        ("progressTimeout", -1),
        ("parallelMigrationsPerCluster", True),
        ("bandwidthPerMigration", "fast"),
        ("bandwidthPerMigration", "-1Mi"),
        ("nodeDrainTaintKey", "a b"),
    ):
        with pytest.raises(RefusedSpec, match=rf"spec\.configuration\.migrations\.{field}: "):
            install_settings({"configuration": {"migrations": {field: value}}}, OPERATOR)
    with pytest.raises(RefusedSpec, match=r"spec\.configuration\.migrations\.network"):
        install_settings({"configuration": {"migrations": {"network": "fast"}}}, OPERATOR)
    with pytest.raises(RefusedSpec, match=r"spec\.configuration\.evictionStrategy: 'Move' is not one of None, Live"):
        install_settings({"configuration": {"evictionStrategy": "Move"}}, OPERATOR)


def test_a_workload_update_strategy_is_accepted_and_bad_values_are_refused_by_field() -> None:
    good = {"workloadUpdateMethods": ["LiveMigrate", "Evict"], "batchEvictionSize": 5, "batchEvictionInterval": "2m0s"}
    install_settings({"workloadUpdateStrategy": good}, OPERATOR)
    for field, value in (
        ("workloadUpdateMethods", ["Restart"]),
        ("batchEvictionSize", -1),
        ("batchEvictionInterval", "soon"),
    ):
        with pytest.raises(RefusedSpec, match=rf"spec\.workloadUpdateStrategy\.{field}: "):
            install_settings({"workloadUpdateStrategy": {field: value}}, OPERATOR)


def test_verbosity_is_accepted_as_virtctl_sends_it_and_bad_values_are_refused_by_field() -> None:
    sent = {"virtAPI": 3, "virtController": 3, "virtHandler": 7, "virtLauncher": 3, "virtOperator": 9}
    install_settings(developer(logVerbosity=sent), OPERATOR)
    install_settings(developer(logVerbosity={}), OPERATOR)  # --reset
    install_settings(developer(logVerbosity={"nodeVerbosity": {"node1": 5}}), OPERATOR)
    for bad, name in (({"virtAPI": 10}, "virtAPI: 10"), ({"nodeVerbosity": {"n": -1}}, r"nodeVerbosity\[n\]: -1")):
        with pytest.raises(RefusedSpec, match=rf"logVerbosity\.{name} is not a number from 0 to 9"):
            install_settings(developer(logVerbosity=bad), OPERATOR)
    assert operator_verbosity(developer(logVerbosity=sent)) == 9
    assert operator_verbosity(developer(logVerbosity={"virtOperator": 11})) == 0


def test_feature_gates_are_no_reason_to_refuse_the_object_and_each_is_named_in_a_warning() -> None:
    spec = developer(featureGates=MOST_HAVE)
    install_settings(spec, OPERATOR)
    found = gate_warnings(spec)
    assert [any(gate in line for line in found) for gate in MOST_HAVE] == [True] * 4
    assert "'NonRoot' has no effect, it is always on" in found[3]
    assert "'Snapshot' has no effect, it is of a feature that this release does not have" in found[1]


@pytest.mark.parametrize(
    ("field", "who"),
    [("parallelMigrationsPerCluster", "in the cluster"), ("parallelOutboundMigrationsPerNode", "of any node")],
)
def test_a_limit_with_which_no_migration_begins_is_admitted_with_a_warning(field: str, who: str) -> None:
    def warned(migrations: dict[str, int], before: dict[str, int] | None = None) -> tuple[str, ...]:
        new, old = ({"configuration": {"migrations": found}} for found in (migrations, before or {}))
        install_settings(new, OPERATOR)
        meta = ObjectMeta(name="kubevirt", namespace="kubevirt")
        reviewed = Reviewed(meta, new), Reviewed(meta, old) if before is not None else None
        return warnings(AdmissionRequest("u", "UPDATE", object=reviewed[0], old_object=reviewed[1]))

    expected = (
        f"spec.configuration.migrations.{field}: 0 lets no migration {who} begin; "
        "drains, evictions and workload updates wait until it is larger"
    )
    assert warned({field: 0}) == (expected,)
    assert warned({field: 0}, {field: 1}) == (expected,)
    assert warned({field: 0}, {field: 0}) == () == warned({field: 1})


def test_feature_gates_that_this_release_lacks_are_in_the_status_while_they_are_in_the_spec() -> None:
    observed = installed()
    assert observed.suite is not None
    asking = suite(developer(featureGates=MOST_HAVE), observed.suite.status)
    status = status_of(asking, observed, plan(observed, OPERATOR), OPERATOR, None)
    (condition,) = (condition for condition in status.conditions if condition.type == FEATURE_GATES)
    assert condition.status == "False"
    assert condition.message.endswith(": Snapshot, ExpandDisks")
    after = msgspec.structs.replace(observed.suite, status=status)
    again = status_of(after, observed, plan(observed, OPERATOR), OPERATOR, None)
    assert not [condition for condition in again.conditions if condition.type == FEATURE_GATES]


def test_the_rollout_strategy_is_live_update_or_stage() -> None:
    for value in ("LiveUpdate", "Stage", ""):
        install_settings({"configuration": {"vmRolloutStrategy": value}}, OPERATOR)
    with pytest.raises(RefusedSpec, match=r"configuration.vmRolloutStrategy: 'Later' is not one of"):
        install_settings({"configuration": {"vmRolloutStrategy": "Later"}}, OPERATOR)

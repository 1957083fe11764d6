"""Converts a KubeVirt object's spec to InstallSettings, and refuses unsupported fields by name. Pure.

Called first in each plan. Empty values ({}, [], "", null) of unsupported fields are accepted: they have no effect, and
KubeVirt's own example manifest has several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec
from virt_core.conventions import images
from virt_core.conventions.verbosity import HIGHEST
from virt_core.instancetype.stored import EXPAND, EXPAND_ALL, REFERENCE
from virt_core.objects.duration import parse_duration
from virt_core.objects.kubevirt import LIVE_UPDATE, STAGE
from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import QUALIFIED_NAME
from virt_core.vmi.eviction import STRATEGIES

from virt_operator.certificates.rotation import RefusedRotation, rotation_of
from virt_operator.settings import Settings
from virt_operator.strategy.settings import InstallSettings, Placement
from virt_operator.suite.prometheus import FIELDS, refusal_of
from virt_operator.suite.upgrade_strategy import RefusedUpgradeStrategy, finalizing_of, pace_of

REMOVE_WORKLOADS = "RemoveWorkloads"
_BLOCK_UNINSTALL = "BlockUninstallIfWorkloadsExist"
_LOG_VERBOSITY = "configuration.developerConfiguration.logVerbosity"
_MIGRATION_NUMBERS = (
    "completionTimeoutPerGiB",
    "parallelMigrationsPerCluster",
    "parallelOutboundMigrationsPerNode",
    "progressTimeout",
)
_MIGRATIONS = (
    *_MIGRATION_NUMBERS,
    "allowAutoConverge",
    "allowPostCopy",
    "allowWorkloadDisruption",
    "bandwidthPerMigration",
    "disableTLS",
    "nodeDrainTaintKey",
    "unsafeMigrationOverride",
)
_UPDATE_FIELDS = ("batchEvictionInterval", "batchEvictionSize", "workloadUpdateMethods")
_UPDATE_METHODS = ("LiveMigrate", "Evict")
SUPPORTED = {
    "customizeComponents",  # customization/patches.py
    *FIELDS,  # prometheus.py
    "imageTag",
    "imageRegistry",
    "imagePullPolicy",
    "imagePullSecrets",
    "uninstallStrategy",
    "certificateRotateStrategy",
    "upgradeStrategy",  # ours (upgrade_strategy.py)
    "infra.nodePlacement",
    "infra.replicas",
    "workloads.nodePlacement",
    *(f"workloadUpdateStrategy.{field}" for field in _UPDATE_FIELDS),
    "configuration.developerConfiguration.cpuAllocationRatio",
    "configuration.developerConfiguration.disabledFeatureGates",  # feature_gates.py
    "configuration.developerConfiguration.featureGates",
    *(f"{_LOG_VERBOSITY}.{part}" for part in ("nodeVerbosity", "virtAPI", "virtController")),
    *(f"{_LOG_VERBOSITY}.{part}" for part in ("virtHandler", "virtLauncher", "virtOperator")),
    "configuration.developerConfiguration.memoryOvercommit",
    "configuration.developerConfiguration.useEmulation",
    "configuration.architectureConfiguration.amd64.emulatedMachines",
    "configuration.architectureConfiguration.amd64.machineType",
    "configuration.commonInstancetypesDeployment.enabled",
    "configuration.cpuModel",
    "configuration.emulatedMachines",
    "configuration.evictionStrategy",
    "configuration.instancetype.referencePolicy",
    "configuration.machineType",
    *(f"configuration.migrations.{field}" for field in _MIGRATIONS),
    "configuration.vmRolloutStrategy",
    "configuration.virtualMachineOptions.disableSerialConsoleLog",  # consoles are logged only if a VMI requests it
}
_CHOSEN_BY_BEING_THERE = "configuration.virtualMachineOptions."  # empty objects select an option here
_REPLICAS, _MOST_REPLICAS = 2, 255  # the field is a byte
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class RefusedSpec(ValueError):
    """The spec is invalid or not supported. The message names field, value and what is allowed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def install_settings(spec: Mapping[str, Any], operator: Settings) -> InstallSettings:
    """The settings to install.

    Raises:
        RefusedSpec: with reason "UnsupportedField" or "InvalidField".
    """
    unsupported = sorted(_unsupported("", spec))
    if unsupported:
        names = ", ".join(f"spec.{path}" for path in unsupported)
        raise RefusedSpec("UnsupportedField", f"not supported by this release, remove it: {names}")
    _check(spec, "uninstallStrategy", (REMOVE_WORKLOADS, _BLOCK_UNINSTALL))
    _check(spec, "imagePullPolicy", images.PULL_POLICIES)
    _check_reference_policy(spec)
    _check(spec.get("configuration") or {}, "vmRolloutStrategy", (LIVE_UPDATE, STAGE), "spec.configuration")
    for field in ("cpuAllocationRatio", "memoryOvercommit"):
        _check_positive(spec, field)
    _check_verbosity(spec)
    _check_migrations(spec)
    _check_workload_updates(spec)
    if (refusal := refusal_of(spec)) is not None:
        raise RefusedSpec("InvalidField", refusal)
    try:
        rotation_of(spec)
        pace_of(spec)
        finalizing_of(spec)
    except (RefusedRotation, RefusedUpgradeStrategy) as refused:
        raise RefusedSpec("InvalidField", str(refused)) from refused
    tag, registry = spec.get("imageTag") or operator.tag, spec.get("imageRegistry") or operator.registry
    if not images.TAG.fullmatch(tag):
        raise RefusedSpec("InvalidField", f"spec.imageTag: {tag!r} is not a tag: {images.TAG_FORM}")
    if registry and not images.REGISTRY.fullmatch(registry):
        message = f"spec.imageRegistry: {registry!r} is not of the form {images.REGISTRY_FORM}"
        raise RefusedSpec("InvalidField", message)
    return InstallSettings(
        namespace=operator.namespace,
        registry=registry,
        tag=tag,
        pull_policy=spec.get("imagePullPolicy") or images.IF_NOT_PRESENT,
        pull_secrets=_pull_secrets(spec),
        replicas=_replicas(spec),
        infra=_placement(spec, "infra"),
        workloads=_placement(spec, "workloads"),
        # Those of another tag are unknown; another registry has the same ones.
        digests=dict(operator.digests) if tag == operator.tag else {},
    )


def deploys_common_instancetypes(spec: Mapping[str, Any]) -> bool:
    """Whether the instance types and preferences that come with the suite are wanted: unless the spec says no."""
    deployment = (spec.get("configuration") or {}).get("commonInstancetypesDeployment") or {}
    return deployment.get("enabled") is not False


def blocks_uninstall(spec: Mapping[str, Any]) -> bool:
    """Whether existing workloads block the removal; also true for an unknown uninstallStrategy."""
    return (spec.get("uninstallStrategy") or REMOVE_WORKLOADS) != REMOVE_WORKLOADS


def _pull_secrets(spec: Mapping[str, Any]) -> list[str]:
    secrets = spec.get("imagePullSecrets") or []
    for index, secret in enumerate(secrets):
        if not isinstance(secret, Mapping) or not _NAME.fullmatch(str(secret.get("name", ""))):
            raise RefusedSpec(
                "InvalidField", f"spec.imagePullSecrets[{index}]: {secret!r} is not of the form {{name: …}}"
            )
    return [secret["name"] for secret in secrets]


def _replicas(spec: Mapping[str, Any]) -> int:
    replicas = (spec.get("infra") or {}).get("replicas")
    if replicas is None:
        return _REPLICAS
    if not isinstance(replicas, int) or not 1 <= replicas <= _MOST_REPLICAS:
        raise RefusedSpec("InvalidField", f"spec.infra.replicas: {replicas!r} is not from 1 to {_MOST_REPLICAS}")
    return replicas


def _placement(spec: Mapping[str, Any], part: str) -> Placement:
    placement = (spec.get(part) or {}).get("nodePlacement") or {}
    try:
        return msgspec.convert(placement, Placement)
    except msgspec.ValidationError as error:
        raise RefusedSpec("InvalidField", f"spec.{part}.nodePlacement: {error}") from error


def _check(spec: Mapping[str, Any], field: str, allowed: tuple[str, ...], path: str = "spec") -> None:
    value = spec.get(field) or allowed[0]
    if value not in allowed:
        raise RefusedSpec("InvalidField", f"{path}.{field}: {value!r} is not one of {', '.join(allowed)}")


def _check_reference_policy(spec: Mapping[str, Any]) -> None:
    policy = ((spec.get("configuration") or {}).get("instancetype") or {}).get("referencePolicy") or REFERENCE
    if policy not in (REFERENCE, EXPAND, EXPAND_ALL):
        allowed = f"{REFERENCE}, {EXPAND}, {EXPAND_ALL}"
        name = "spec.configuration.instancetype.referencePolicy"
        raise RefusedSpec("InvalidField", f"{name}: {policy!r} is not one of {allowed}")


def _check_positive(spec: Mapping[str, Any], field: str) -> None:
    developer = (spec.get("configuration") or {}).get("developerConfiguration") or {}
    value = developer.get(field)
    if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        name = f"spec.configuration.developerConfiguration.{field}"
        raise RefusedSpec("InvalidField", f"{name}: {value!r} is not a number from 0, which stands for the default")


def _check_migrations(spec: Mapping[str, Any]) -> None:
    configuration = spec.get("configuration") or {}
    if configuration.get("evictionStrategy"):
        _check(configuration, "evictionStrategy", STRATEGIES, "spec.configuration")
    migrations, path = configuration.get("migrations") or {}, "spec.configuration.migrations"
    for field in _MIGRATION_NUMBERS:
        value = migrations.get(field)
        if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            raise RefusedSpec("InvalidField", f"{path}.{field}: {value!r} is not a number from 0")
    bandwidth = migrations.get("bandwidthPerMigration")
    try:
        valid = bandwidth is None or parse_quantity(str(bandwidth)) >= 0
    except ValueError:
        valid = False
    if not valid:
        name = f"{path}.bandwidthPerMigration"
        raise RefusedSpec("InvalidField", f"{name}: {bandwidth!r} is not a quantity of bytes per second such as 64Mi")
    key = migrations.get("nodeDrainTaintKey")
    if key and not QUALIFIED_NAME.accepts(str(key)):
        raise RefusedSpec("InvalidField", f"{path}.nodeDrainTaintKey: {key!r} is not {QUALIFIED_NAME.words}")


def _check_workload_updates(spec: Mapping[str, Any]) -> None:
    strategy, path = spec.get("workloadUpdateStrategy") or {}, "spec.workloadUpdateStrategy"
    for method in strategy.get("workloadUpdateMethods") or ():
        if method not in _UPDATE_METHODS:
            allowed = ", ".join(_UPDATE_METHODS)
            raise RefusedSpec("InvalidField", f"{path}.workloadUpdateMethods: {method!r} is not one of {allowed}")
    size, interval = strategy.get("batchEvictionSize"), strategy.get("batchEvictionInterval")
    if size is not None and not (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        raise RefusedSpec("InvalidField", f"{path}.batchEvictionSize: {size!r} is not a number from 0")
    if interval is not None and parse_duration(str(interval)) is None:
        raise RefusedSpec("InvalidField", f"{path}.batchEvictionInterval: {interval!r} is not a duration of 0s or more")


def operator_verbosity(spec: Mapping[str, Any]) -> int:
    """The operator's log verbosity in KubeVirt's scale; 0 if it is absent or invalid."""
    value = _verbosity(spec).get("virtOperator")
    return value if _is_verbosity(value) else 0


def _check_verbosity(spec: Mapping[str, Any]) -> None:
    verbosity = _verbosity(spec)
    nodes = verbosity.get("nodeVerbosity") or {}
    components = {key: value for key, value in verbosity.items() if key != "nodeVerbosity"}
    for path, value in (*components.items(), *((f"nodeVerbosity[{node}]", value) for node, value in nodes.items())):
        if value is not None and not _is_verbosity(value):
            message = f"spec.{_LOG_VERBOSITY}.{path}: {value!r} is not a number from 0 to {HIGHEST}"
            raise RefusedSpec("InvalidField", message)


def _verbosity(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    developer = (spec.get("configuration") or {}).get("developerConfiguration") or {}
    return developer.get("logVerbosity") or {}


def _is_verbosity(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST


def _unsupported(path: str, value: Any) -> list[str]:
    """Unsupported paths at and below `path` with a value that is not empty."""
    if path in SUPPORTED or value in (None, "", []):
        return []
    if value == {} and not path.startswith(_CHOSEN_BY_BEING_THERE):
        return []
    if isinstance(value, Mapping) and value:
        return [found for key, below in value.items() for found in _unsupported(f"{path}.{key}".lstrip("."), below)]
    return [path]

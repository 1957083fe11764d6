"""A release's install strategy: all its objects, printed by that release's operator image. Pure.

Created in the Job (print_strategy.py), stored compressed in a ConfigMap, read by the leading operator. So an operator
of another release applies exactly the objects of this release. The schema only grows, like every contract of the suite.
"""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode, b64encode

import msgspec
from virt_core.release import FEATURE_LEVEL, RELEASE

from virt_operator.strategy.desired import (
    STRATEGY_IDENTIFIER,
    STRATEGY_REGISTRY,
    STRATEGY_RELEASE,
    STRATEGY_VERSION,
    desired_monitoring,
    desired_objects,
    strategy_labels,
)
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

SCHEMA = 1
KEY = "manifests"
"""The ConfigMap's key: base64 of gzip of JSON."""

PLANNED = "plan-"
"""How the deployment ID of a strategy begins that is printed for a plan only (preflight/probe.py)."""

_MOST = 64 * 1024 * 1024  # bytes when unpacked: a limit for memory that no release approaches


class BadStrategy(ValueError):
    """The ConfigMap has no strategy that this operator can read: it must be printed again."""


class InstallStrategy(msgspec.Struct, frozen=True, rename="camel"):
    """The contents of the ConfigMap."""

    schema: int
    release: str
    """KUBEVIRT_VERSION of the image that printed it."""

    feature_level: int
    deployment_id: str
    """The ID of the settings that it was printed for, computed by the requesting operator."""

    objects: list[Body]
    """All objects of the suite, in the order of installation."""

    operator: list[Body]
    """The operator's own objects, which a user applies: the permissions that the release needs, and its Deployment."""

    monitoring: list[Body] = []
    """Objects for a Prometheus, written where there is one (change/monitoring.py). An older operator ignores them."""


def strategy_of(settings: InstallSettings, deployment_id: str, release: str = RELEASE) -> InstallStrategy:
    """This release's strategy."""
    objects, operator = list(desired_objects(settings, release)), operator_objects(settings)
    monitoring = list(desired_monitoring(settings, release))
    return InstallStrategy(SCHEMA, release, FEATURE_LEVEL, deployment_id, objects, operator, monitoring)


def name_of(deployment_id: str) -> str:
    """Name of ConfigMap and Job."""
    return f"kubevirt-install-strategy-{deployment_id[:12]}"


def is_planned(name: str) -> bool:
    """Whether the ConfigMap of this name was printed for a plan, which deletes it."""
    return name.startswith(name_of(PLANNED))


def to_config_map(strategy: InstallStrategy, settings: InstallSettings) -> Body:
    """The ConfigMap. The same strategy gives the same bytes."""
    packed = gzip.compress(msgspec.json.encode(strategy), mtime=0)
    annotations = {
        STRATEGY_VERSION: settings.tag,
        STRATEGY_RELEASE: strategy.release,
        STRATEGY_REGISTRY: settings.registry,
        STRATEGY_IDENTIFIER: strategy.deployment_id,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of(strategy.deployment_id),
            "namespace": settings.namespace,
            "labels": strategy_labels(),
            "annotations": annotations,
        },
        "data": {KEY: b64encode(packed).decode()},
    }


def from_config_map(text: str, deployment_id: str) -> InstallStrategy:
    """Decode the value of KEY.

    Raises:
        BadStrategy: it is damaged, has a newer schema, or was printed for other settings than `deployment_id`.
    """
    try:
        unpacker = zlib.decompressobj(wbits=31)  # gzip
        unpacked = unpacker.decompress(b64decode(text, validate=True), _MOST)
        strategy = msgspec.json.decode(unpacked, type=InstallStrategy)
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise BadStrategy(f"cannot be read: {error}") from error
    if strategy.schema != SCHEMA:
        raise BadStrategy(f"schema {strategy.schema} is not one that release {RELEASE} reads")
    if strategy.deployment_id != deployment_id:
        raise BadStrategy(f"printed for {strategy.deployment_id}, not {deployment_id}")
    return strategy

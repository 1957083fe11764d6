"""Builds all objects that a release installs. Pure. Called by the command that prints the strategy, and by
operator_rbac.py, which derives the operator's permissions from them.

Without Secrets: their contents are created by certificates/ and not printed.
"""

from __future__ import annotations

from collections.abc import Mapping

from virt_core.conventions import accounts, labels
from virt_core.release import RELEASE

from virt_operator.strategy import (
    admission,
    crds,
    daemonsets,
    deployments,
    handler_policies,
    monitoring,
    rbac,
    services,
    user_roles,
    webhooks,
)
from virt_operator.strategy.common_instancetypes import common_instancetypes
from virt_operator.strategy.common_preferences import common_preferences
from virt_operator.strategy.ref import DEFINED, MANAGED_BY_OPERATOR, Body
from virt_operator.strategy.settings import InstallSettings

STRATEGY_VERSION = "kubevirt.io/install-strategy-version"
"""The tag of the images, KubeVirt's version. It is only a name: tags are never compared."""

STRATEGY_RELEASE = "kubevirt.io/install-strategy-release"
"""The release that printed the strategy, not KubeVirt's. Releases are compared by it."""

STRATEGY_REGISTRY = "kubevirt.io/install-strategy-registry"
STRATEGY_IDENTIFIER = "kubevirt.io/install-strategy-identifier"


def desired_objects(settings: InstallSettings, release: str = RELEASE) -> tuple[Body, ...]:
    """All objects in the order of installation, without CA bundles, which depend on the cluster."""
    objects = [
        crds.virtual_machine_instances(),
        crds.virtual_machines(),
        crds.virtual_machine_instance_replica_sets(),
        crds.virtual_machine_instance_migrations(),
        crds.migration_policies(),
        *crds.instancetypes(),
        *admission.policy(settings.namespace, accounts.OPERATOR),
        *handler_policies.handler_policies(settings.namespace),
        *rbac.component_rbac(settings.namespace),
        *user_roles.user_roles(),
        services.virt_api_service(settings.namespace),
        services.metrics_service(settings.namespace),
        *deployments.disruption_budgets(settings),
        deployments.virt_api(settings),
        deployments.virt_controller(settings),
        daemonsets.virt_handler(settings),
        *services.api_services(settings.namespace),
        *webhooks.webhooks(settings.namespace),
        *common_instancetypes(),
        *common_preferences(),
    ]
    objects += rbac.removal(objects, settings.namespace)
    return tuple(_marked(body, _annotations(settings, release)) for body in objects)


def desired_monitoring(settings: InstallSettings, release: str = RELEASE) -> tuple[Body, ...]:
    """The objects for a Prometheus where KubeVirt looks for one by default."""
    place = (settings.namespace, monitoring.DEFAULT_NAMESPACES[-1], monitoring.DEFAULT_ACCOUNT)
    return tuple(_marked(body, _annotations(settings, release)) for body in monitoring.monitoring_objects(*place))


def _annotations(settings: InstallSettings, release: str) -> dict[str, str]:
    return {
        STRATEGY_VERSION: settings.tag,
        STRATEGY_RELEASE: release,
        STRATEGY_REGISTRY: settings.registry,
        STRATEGY_IDENTIFIER: settings.deployment_id,
    }


def managed_labels() -> dict[str, str]:
    """Labels of all objects that the operator installs."""
    return {labels.MANAGED_BY: MANAGED_BY_OPERATOR, "app.kubernetes.io/component": "kubevirt"}


def strategy_labels() -> dict[str, str]:
    """Labels of a strategy's Job and ConfigMap."""
    return {labels.MANAGED_BY: MANAGED_BY_OPERATOR, labels.INSTALL_STRATEGY: ""}


def _marked(body: Body, annotations: Mapping[str, str]) -> Body:
    meta = body["metadata"]
    # Not on objects that have no release: an update does not write again what is the same in both releases.
    marks = {} if body["kind"] in DEFINED else annotations
    return {
        **body,
        "metadata": {
            **meta,
            "labels": {**meta.get("labels", {}), **managed_labels()},
            "annotations": {**meta.get("annotations", {}), **marks},
        },
    }

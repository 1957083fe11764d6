"""virt-api and virt-controller, and PodDisruptionBudgets for both. Pure; called by desired.py."""

from __future__ import annotations

from virt_core.conventions import accounts, component_pod, components, environment, labels

from virt_operator.strategy import pods
from virt_operator.strategy.pods import value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings


def virt_api(settings: InstallSettings) -> Body:
    """The aggregated API and webhooks, over HTTPS."""
    container = pods.restricted_container(
        components.API,
        settings.image(components.API),
        settings.pull_policy,
        "80Mi",
        env=[pods.namespace_env()],
        ports=[pods.open_port("https", component_pod.API_PORT), pods.rpc_port()],
        volumeMounts=[pods.certificates_mount()],
        **pods.probes(component_pod.API_PORT, scheme="HTTPS"),
    )
    volumes = [pods.certificates_volume("kubevirt-virt-api-certs")]
    return pods.deployment(
        components.API,
        settings,
        account=accounts.API,
        container=container,
        volumes=volumes,
        placement=settings.infra,
    )


def virt_controller(settings: InstallSettings) -> Body:
    """Creates launcher pods. One replica leads, all are ready."""
    container = pods.restricted_container(
        components.CONTROLLER,
        settings.image(components.CONTROLLER),
        settings.pull_policy,
        "70Mi",
        env=[
            pods.namespace_env(),
            pods.name_env(),
            value_env(environment.LAUNCHER_IMAGE, settings.image(components.LAUNCHER)),
            value_env(environment.IMAGE_PULL_POLICY, settings.pull_policy),
            value_env(environment.IMAGE_PULL_SECRETS, ",".join(settings.pull_secrets)),
        ],
        ports=[pods.health_port(), pods.metrics_port(), pods.rpc_port()],
        volumeMounts=[pods.certificates_mount()],
        **pods.probes(),
    )
    return pods.deployment(
        components.CONTROLLER,
        settings,
        account=accounts.CONTROLLER,
        container=container,
        volumes=[pods.certificates_volume("kubevirt-virt-controller-certs")],
        placement=settings.infra,
    )


def disruption_budgets(settings: InstallSettings) -> list[Body]:
    """A budget for each Deployment; none for a single replica, whose node could otherwise not be drained."""
    if settings.replicas < 2:
        return []
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": f"{app}-pdb", "namespace": settings.namespace, "labels": {labels.APP: app}},
            "spec": {"minAvailable": settings.replicas - 1, "selector": {"matchLabels": {labels.APP: app}}},
        }
        for app in (components.API, components.CONTROLLER)
    ]

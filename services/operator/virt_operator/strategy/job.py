"""The Job that prints a release's install strategy. Pure; called by change/strategies.py.

It runs that release's operator image with an account that may only write ConfigMaps of the suite's namespace, because
this operator does not know the release.
"""

from __future__ import annotations

from virt_core.conventions import components, environment, labels

from virt_operator.strategy import pods
from virt_operator.strategy.desired import strategy_labels
from virt_operator.strategy.install_strategy import name_of
from virt_operator.strategy.operator_rbac import STRATEGY_ACCOUNT
from virt_operator.strategy.pods import value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

APP = "virt-operator-strategy"
INSTALL_SETTINGS = "INSTALL_SETTINGS"
DEPLOYMENT_ID = "DEPLOYMENT_ID"


def strategy_job(settings: InstallSettings) -> Body:
    """The Job. It retries as long as the KubeVirt object requests the release, because an image may be pushed late."""
    image = settings.image(components.OPERATOR)
    container = pods.restricted_container(
        APP,
        image,
        settings.pull_policy,
        "70Mi",
        args=["print-install-strategy"],
        env=[
            value_env(INSTALL_SETTINGS, settings.to_json()),
            value_env(DEPLOYMENT_ID, settings.deployment_id),
            value_env(environment.OPERATOR_IMAGE, image),
            pods.namespace_env(),
        ],
        terminationMessagePolicy="FallbackToLogsOnError",
    )
    spec: Body = {
        "serviceAccountName": STRATEGY_ACCOUNT,
        "restartPolicy": "OnFailure",
        "securityContext": {"runAsNonRoot": True},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [container],
    }
    template = pods.template(APP, pods.placed(spec, settings, settings.infra))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(settings.deployment_id),
            "namespace": settings.namespace,
            "labels": {labels.APP: APP, **strategy_labels()},
        },
        "spec": {"backoffLimit": 1000, "template": template},
    }

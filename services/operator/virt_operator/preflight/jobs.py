"""The Jobs that run the target's images. Pure; used by probe.py.

    NAME-strategy  the target's operator image prints the strategy, like for an upgrade
    NAME-images    the other images: the launcher's prints its record, the rest begin Python and end

They run as non-root without an account of their own (the first one has the account that may write ConfigMaps only),
without priority, and delete themselves if nobody else does.
"""

from __future__ import annotations

from virt_core.conventions import components, labels

from virt_operator.strategy import pods
from virt_operator.strategy.install_strategy import PLANNED
from virt_operator.strategy.job import DEPLOYMENT_ID, strategy_job
from virt_operator.strategy.pods import value_env
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

APP = "virt-operator-plan"
PLAN = "kubevirt.io/upgrade-plan"
"""Label of everything that a plan creates; its value is the plan's token."""

IMAGES = "images"
STRATEGY = "strategy"
_PYTHON = "/opt/kubevirt/bin/python"
_OTHERS = (components.API, components.CONTROLLER, components.HANDLER)
CONTAINERS = (components.OPERATOR, components.LAUNCHER, *_OTHERS)
"""Of both Jobs' pods. Each is called like its image."""

_KEPT, _LONGEST = 120, 180  # seconds


def deployment_id(token: str) -> str:
    """The ID for which the target prints its strategy, so that nobody takes it for one that is to be installed."""
    return f"{PLANNED}{token}"


def jobs(settings: InstallSettings, token: str) -> tuple[Body, Body]:
    """Both Jobs."""
    printing = strategy_job(settings)["spec"]["template"]["spec"]
    (container,) = printing["containers"]
    variables = [entry for entry in container["env"] if entry["name"] != DEPLOYMENT_ID]
    container = {
        **container,
        "name": components.OPERATOR,
        "env": [*variables, value_env(DEPLOYMENT_ID, deployment_id(token))],
    }
    images = [pods.record_container(components.LAUNCHER, settings.image(components.LAUNCHER), settings.pull_policy)]
    images += [_container(settings, name, _PYTHON, "-c", "") for name in _OTHERS]
    others = pods.placed({"automountServiceAccountToken": False, "containers": images}, settings, settings.workloads)
    return (
        _job(settings, STRATEGY, token, {**printing, "containers": [container]}),
        _job(settings, IMAGES, token, pods.for_launchers(others)),
    )


def _container(settings: InstallSettings, component: str, *command: str) -> Body:
    image, policy = settings.image(component), settings.pull_policy
    more = {"command": list(command), "terminationMessagePolicy": "FallbackToLogsOnError"}
    return pods.restricted_container(component, image, policy, "10Mi", **more)


def _job(settings: InstallSettings, name: str, token: str, spec: Body) -> Body:
    marks = {labels.APP: APP, PLAN: token}
    pod = {
        **{key: value for key, value in spec.items() if key != "priorityClassName"},
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True},
    }
    template = {"metadata": {"labels": marks}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"kubevirt-plan-{token}-{name}", "namespace": settings.namespace, "labels": marks},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": _LONGEST,
            "ttlSecondsAfterFinished": _KEPT,
            "template": template,
        },
    }

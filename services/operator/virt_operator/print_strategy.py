"""The Job's command: writes this release's install strategy for the settings in its environment to its ConfigMap.

Run by strategy/job.py's Job with an account that may write ConfigMaps only. Called by __main__.py.
"""

from __future__ import annotations

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.settings import Environment

from virt_operator.strategy.install_strategy import strategy_of, to_config_map
from virt_operator.strategy.job import DEPLOYMENT_ID, INSTALL_SETTINGS
from virt_operator.strategy.settings import InstallSettings


async def print_strategy() -> None:
    """Write the ConfigMap. Repeatable.

    Raises:
        BadSetting: a variable is missing.
        msgspec.ValidationError: an unknown setting. It becomes the termination message of the Job's pod.
        KubeError: the API server refuses or does not answer; the kubelet restarts the container.
    """
    variables = Environment()
    settings = InstallSettings.from_json(variables.text(INSTALL_SETTINGS))
    body = to_config_map(strategy_of(settings, variables.text(DEPLOYMENT_ID)), settings)
    name = body["metadata"]["name"]
    log = logs.bound("virt_operator.print_strategy", config_map=name)
    log.info("printing the install strategy", bytes=len(body["data"]["manifests"]))
    async with KubeClient.connect("virt-operator-strategy") as client:
        await client.apply(CONFIG_MAPS, settings.namespace, body, manager="virt-operator-strategy")

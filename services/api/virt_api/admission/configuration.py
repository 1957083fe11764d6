"""The cluster's configuration as the KubeVirt object has it now. Run by app.py; asked by the webhooks."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import Configuration, KubeVirt


class ConfigurationWatch:
    """Follows the KubeVirt object of the suite's namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._reflector = Reflector(client, KUBEVIRTS, KubeVirt, lambda _: None, namespace=namespace)
        self.synced = self._reflector.synced

    async def run(self) -> None:
        """Until cancelled."""
        await self._reflector.run()

    def current(self) -> Configuration:
        """KubeVirt's defaults while there is no object."""
        return next((kubevirt.spec.configuration for kubevirt in self._reflector), Configuration())

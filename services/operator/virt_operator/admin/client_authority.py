"""The cluster's client CA, which signs the certificates in administrators' kubeconfigs.

Every API server publishes it in a ConfigMap, which a role binding allows the operator to read. Watched by server.py
while it serves. Without it, or before it is read, only certificates of the suite's CA pass the handshake.
"""

from __future__ import annotations

import msgspec
from virt_core import logs
from virt_core.conventions.apiserver_authentication import NAME, NAMESPACE
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Key, Reflector
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import ObjectMeta

_log = logs.bound("virt_operator.admin.client_authority")


class _ConfigMap(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class ClientAuthority:
    """`pem` is the ConfigMap's current bundle."""

    def __init__(self, client: KubeClient) -> None:
        self.pem = b""
        self._reflector = Reflector(
            client, CONFIG_MAPS, _ConfigMap, self._changed, namespace=NAMESPACE, fields=f"metadata.name={NAME}"
        )

    async def run(self) -> None:
        """Follow the ConfigMap until cancelled."""
        await self._reflector.run()

    def _changed(self, key: Key) -> None:
        found = self._reflector.get(key)
        text = found.data.get("client-ca-file", "") if found is not None else ""
        _log.info("trusting the cluster's client CA", present=bool(text))
        self.pem = text.encode()

"""Reads the ControllerRevisions that keep instance types and preferences of VirtualMachines. Called by reconcile.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from virt_core.instancetype.stored import object_in
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.reflector import Key
from virt_core.kube.resource import CONTROLLER_REVISIONS

_REMEMBERED = 256  # a ControllerRevision never changes


class KeptObjects:
    """Those of all VirtualMachines; the last ones are remembered."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._revisions: OrderedDict[Key, dict[str, Any]] = OrderedDict()

    async def read(self, namespace: str, revision: str, name: str = "") -> Mapping[str, Any] | None:
        """The object of that name, or of any, in the ControllerRevision. None: there is none."""
        key = (namespace, revision)
        if key not in self._revisions:
            try:
                self._revisions[key] = await self._client.get(CONTROLLER_REVISIONS, namespace, revision)
            except NotFound:
                return None
            if len(self._revisions) > _REMEMBERED:
                self._revisions.popitem(last=False)
        return object_in(self._revisions[key], name)

"""The launcher that a namespace asks for by default. Called by the reconcilers that create launcher pods or replace
outdated launchers."""

from __future__ import annotations

import msgspec
from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import NAMESPACES
from virt_core.objects.meta import PartialObject

Namespaces = Reflector[PartialObject]


def known_default(namespaces: Namespaces, name: str) -> str:
    """The namespace's annotation as last seen; "": it has none."""
    found = namespaces.get(("", name))
    return _default(found) if found is not None else ""


async def launcher_default(client: KubeClient, namespaces: Namespaces, name: str) -> str:
    """The same. A namespace that is too new for the cache is read: its first guest may be too new as well.

    Raises:
        KubeError: the API server does not answer.
    """
    found = namespaces.get(("", name))
    if found is None:
        try:
            found = msgspec.convert(await client.get(NAMESPACES, None, name), PartialObject)
        except NotFound:
            return ""
    return _default(found)


def _default(namespace: PartialObject) -> str:
    return namespace.metadata.annotations.get(LAUNCHER_RELEASE, "")

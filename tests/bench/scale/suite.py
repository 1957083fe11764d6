"""Installs what virt-controller needs of the suite: its kinds and a KubeVirt object. Nothing else of it runs, so no
webhook and no operator takes part."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, KUBEVIRTS, NAMESPACES
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_objects import kubevirt_object, operator_objects
from virt_operator.strategy.settings import InstallSettings

from tests.bench.scale import controller, fleet

SETTINGS = InstallSettings(controller.NAMESPACE, "registry.example", "bench")
_DEADLINE, _PAUSE = 60.0, 0.1


async def install(client: KubeClient) -> None:
    """Create namespaces, definitions and the KubeVirt object."""
    for namespace in (controller.NAMESPACE, fleet.NAMESPACE):
        await client.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    for body in _definitions():
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, body)
    body = kubevirt_object(SETTINGS, use_emulation=True)
    async with asyncio.timeout(_DEADLINE):
        while True:  # until the API server serves the kinds
            try:
                await client.create(KUBEVIRTS, controller.NAMESPACE, body)
                break
            except KubeError:
                await asyncio.sleep(_PAUSE)


def _definitions() -> Iterator[dict[str, Any]]:
    for body in (*operator_objects(SETTINGS), *desired_objects(SETTINGS)):
        if body["kind"] == CUSTOM_RESOURCE_DEFINITIONS.kind:
            yield body

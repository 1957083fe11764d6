"""Reads what a container has printed. Called by probe.py, and by reconcile/learn.py for the records of launchers."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import PODS

_MOST = 1024 * 1024  # bytes of a launcher's record at most
_DEADLINE = 15.0  # seconds


async def printed_by(client: KubeClient, namespace: str, pod: str, container: str) -> bytes:
    """The log of the container.

    Raises:
        KubeError: the API server refuses or does not answer, or the kubelet has no log.
    """
    query = {"container": container, "limitBytes": str(_MOST)}
    async with client.stream(PODS.path(namespace, pod, "log"), query, _DEADLINE) as body:
        return await body.read()

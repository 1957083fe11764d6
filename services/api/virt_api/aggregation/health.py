"""The group's "healthz": whether kube-apiserver answers, and the version of the configuration. Called by routes.py.

Open to everyone, so the result is cached for a second and frequent calls do not load kube-apiserver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError

_log = logs.bound("virt_api.aggregation.health")
_KEPT = 1.0  # seconds
Answer = tuple[int, dict[str, Any]]


class Health:
    """Checks kube-apiserver. `revision()` is the resourceVersion of the active KubeVirt object, "" if there is none."""

    def __init__(self, client: KubeClient, revision: Callable[[], str]) -> None:
        self._client = client
        self._revision = revision
        self._asking = asyncio.Lock()
        self._answer: Answer | None = None
        self._until = 0.0

    async def check(self) -> Answer:
        """HTTP status and document."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._answer is None or now >= self._until:
                self._answer = await self._ask()
                self._until = asyncio.get_running_loop().time() + _KEPT
            return self._answer

    async def _ask(self) -> Answer:
        try:
            version = await self._client.raw("/version")
        except KubeError as error:
            # The caller may be anonymous, so the reason is logged and not sent.
            _log.warning("reporting that kube-apiserver cannot be reached", reason=str(error))
            return 500, {"apiserver": {"connectivity": "failed", "error": "kube-apiserver does not answer"}}
        apiserver = {"connectivity": "ok", "version": version}
        return 200, {"apiserver": apiserver, "config-resource-version": self._revision()}

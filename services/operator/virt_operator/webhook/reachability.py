"""Whether the API server reaches the webhook: asked through the API server itself, while this replica leads.

A replica that serves proves nothing: a Service without endpoints, a wrong port, a NetworkPolicy or a bundle that does
not verify the leaf are all between it and the API server, and each would refuse every change of a KubeVirt object. So
every `_PERIOD` seconds the KubeVirt object gets an empty patch as a dry run: it goes through admission, hence through
the webhook, and ends there. What the API server says of a failed call is told by the reconciler in the object's
conditions; writing those does not need the webhook (configuration.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import KUBEVIRTS

from virt_operator.webhook.configuration import WEBHOOK

_PERIOD, _PERIOD_IN_TROUBLE = 10.0, 2.0
_FAILED_CALL = f'failed calling webhook "{WEBHOOK}"'  # the API server's words, with the reason after them
_log = logs.bound("virt_operator.webhook.reachability")


class WebhookReachability:
    """`trouble` is what the API server said last about calling the webhook; None if it answered."""

    def __init__(self, client: KubeClient, suite: Callable[[], tuple[str, str] | None]) -> None:
        """`suite` returns namespace and name of the KubeVirt object to ask with, if there is one."""
        self._client = client
        self._suite = suite
        self.trouble: str | None = None

    async def run(self, changed: Callable[[], None]) -> None:
        """Ask until cancelled; `changed` is called when `trouble` does."""
        while True:
            before = self.trouble
            await self.ask()
            if self.trouble != before:
                _log.info("calling the webhook through the API server", trouble=self.trouble or "none")
                changed()
            await asyncio.sleep(_PERIOD if self.trouble is None else _PERIOD_IN_TROUBLE)

    async def ask(self) -> None:
        """Once."""
        self.trouble = await self._answer()

    async def _answer(self) -> str | None:
        suite = self._suite()
        if suite is None:
            return None
        namespace, name = suite
        try:
            await self._client.merge_patch(KUBEVIRTS, namespace, name, {}, dry_run=True)
        except KubeError as error:
            if _FAILED_CALL in error.message:
                return error.message
            if error.status == 0 or error.status >= 500:
                return self.trouble  # the API server itself is in trouble: nothing new is known of the webhook
        return None

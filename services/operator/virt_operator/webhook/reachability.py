"""Checks whether the API server can call a webhook. Run by the reconciler while this replica leads.

A ready pod is not sufficient: a Service without endpoints, a wrong port, a NetworkPolicy or a bundle that does not
match the leaf can prevent calls. So every `_PERIOD` seconds the operator sends a dry run to the API server that passes
admission, hence the webhook, and stores nothing. A failed call becomes a condition (change/plan.py,
reconcile/availability.py). Any other answer, e.g. a refusal, proves that the webhook is reachable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import KUBEVIRTS, VIRTUAL_MACHINE_INSTANCES

from virt_operator.strategy.webhooks import CREATE_WEBHOOKS
from virt_operator.webhook.configuration import WEBHOOK

_PERIOD, _PERIOD_IN_TROUBLE = 10.0, 2.0
_PROBE: Object = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "kubevirt-admission-probe"},
    "spec": {"domain": {"devices": {}, "resources": {"requests": {"memory": "64Mi"}}}},
}
"""A valid VMI for dry runs. It is never stored."""

DryRun = Callable[[], Awaitable[object] | None]
"""Starts a request that passes the webhooks; returns None if no such request is possible."""


class WebhookReachability:
    """`trouble` is the API server's last error for calls of the webhooks; None if they answered."""

    def __init__(self, dry_run: DryRun, webhooks: Collection[str], failures: int = 1) -> None:
        """`failures` in a row are trouble. A single one may come from a replica that is terminating."""
        self._dry_run = dry_run
        self._failed_calls = tuple(f'failed calling webhook "{name}"' for name in webhooks)  # the API server's message
        self._most = failures
        self._failures = 0
        self._log = logs.bound("virt_operator.webhook.reachability", webhooks=sorted(webhooks))
        self.trouble: str | None = None

    @classmethod
    def of_operator(cls, client: KubeClient, suite: Callable[[], tuple[str, str] | None]) -> WebhookReachability:
        """Of the webhook for KubeVirt objects. `suite` returns namespace and name of the object to patch."""

        def dry_run() -> Awaitable[object] | None:
            target = suite()
            return client.merge_patch(KUBEVIRTS, *target, {}, dry_run=True) if target is not None else None

        return cls(dry_run, (WEBHOOK,))

    @classmethod
    def of_virt_api(cls, client: KubeClient, registered: Callable[[], str | None]) -> WebhookReachability:
        """Of the webhooks for VirtualMachineInstances. `registered` returns the namespace of the dry run, or None while
        they are not registered."""

        def dry_run() -> Awaitable[object] | None:
            namespace = registered()
            if namespace is None:
                return None
            return client.create(VIRTUAL_MACHINE_INSTANCES, namespace, _PROBE, dry_run=True)

        return cls(dry_run, CREATE_WEBHOOKS, failures=2)

    async def run(self, changed: Callable[[], None]) -> None:
        """Check until cancelled; call `changed` when `trouble` changes."""
        while True:
            before = self.trouble
            await self.ask()
            if self.trouble != before:
                self._log.info("calling the webhooks through the API server", trouble=self.trouble or "none")
                changed()
            await asyncio.sleep(_PERIOD_IN_TROUBLE if self._failures else _PERIOD)

    async def ask(self) -> None:
        """A single check."""
        asking = self._dry_run()
        failed = None
        if asking is not None:
            try:
                await asking
            except KubeError as error:
                if any(words in error.message for words in self._failed_calls):
                    failed = error.message
                elif error.status == 0 or error.status >= 500:
                    return  # the API server itself fails: the webhooks' state is unknown
        self._failures = self._failures + 1 if failed is not None else 0
        if failed is None or self._failures >= self._most:
            self.trouble = failed

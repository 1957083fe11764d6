"""Kubernetes Events, shown by ``kubectl describe``. Best effort: a failed event never fails a reconcile."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import EVENTS
from virt_core.objects.meta import ObjectReference

_log = logs.bound("virt_core.kube.events")
_LONGEST_NAME = 253  # RFC 1123


class EventRecorder:
    """Writes events of one component."""

    def __init__(self, client: KubeClient, component: str, instance: str) -> None:
        self._client = client
        self._component = component
        self._instance = instance

    async def record(
        self, about: ObjectReference, reason: str, message: str, *, action: str, warning: bool = False
    ) -> None:
        """Write one event. `reason` and `action` are CamelCase words, `message` is for people (1 kB at most)."""
        namespace = about.namespace or "default"
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": _name(about), "namespace": namespace},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "action": action,
            "note": message[:1024],
            "reportingController": f"kubevirt.io/{self._component}",
            "reportingInstance": self._instance,
            "regarding": about.to_builtins(),
        }
        try:
            await self._client.create(EVENTS, namespace, event)
        except KubeError as error:
            _log.warning("losing an event", reason=str(error), event=reason, object=about.name)


def _name(about: ObjectReference) -> str:
    """Unique, and later than that of any event before: kubectl describes events in the order of their names.

    client-go makes its names in the same way.
    """
    now = f"{time.time_ns():016x}"
    return f"{about.name[: _LONGEST_NAME - len(now) - 1].rstrip('.-')}.{now}"

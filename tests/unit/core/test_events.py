"""Events as `kubectl describe` lists them: in the order of their names, because none has a last time."""

from __future__ import annotations

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import EVENTS
from virt_core.objects.meta import ObjectReference
from virt_core.testing.api_server import FakeApiServer

LIFE = ["SuccessfulCreate", "Created", "Started", "Deleted", "Stopped"]
LONGEST_NAME = 253  # RFC 1123, of objects and of their events


@pytest.mark.parametrize("name", ["guest", "g" * LONGEST_NAME, "a." * 126 + "a"], ids=["short", "long", "dots"])
async def test_events_are_listed_in_the_order_in_which_they_happened(
    server: FakeApiServer, client: KubeClient, name: str
) -> None:
    about = ObjectReference("kubevirt.io/v1", "VirtualMachineInstance", name, "default", "u")
    recorders = [EventRecorder(client, component, "pod") for component in ("virt-controller", "virt-handler")]
    for number, reason in enumerate(LIFE):
        await recorders[number % 2].record(about, reason, "happened", action="Reconcile")
    found = sorted(await client.list(EVENTS, "default"), key=lambda event: event["metadata"]["name"])
    assert [event["reason"] for event in found] == LIFE
    for event in found:
        assert len(event["metadata"]["name"]) <= LONGEST_NAME
        assert ".." not in event["metadata"]["name"] and "-." not in event["metadata"]["name"]

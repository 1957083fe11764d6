"""`virtadm ui` with the API server of guest_streams, and VMs in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from virt_admin.access import connected
from virt_admin.ui.app import Server
from virt_admin.ui.board import Board
from virt_admin.ui.page import File
from virt_admin.ui.serve import listening
from virt_core.kube import resource

from tests.support.guest_streams import GuestServer

Body = dict[str, Any]
CREATED = "2026-01-31T10:00:00Z"
DOCUMENTS = ("index", "enter", "entered")
FILES = {
    f"/{name}.html": File(f"{name} @nonce@ @hidden@ @key@".encode(), "text/html; charset=utf-8") for name in DOCUMENTS
}
"""A page without content."""


def put_vm(api: GuestServer, name: str, *, runs: bool, namespace: str = "default", **status: Any) -> None:
    """A VirtualMachine, with its VirtualMachineInstance if it runs."""
    meta = {"name": name, "creationTimestamp": CREATED}
    state = {"printableStatus": "Running" if runs else "Stopped", **status}
    spec = {"runStrategy": "Manual", "template": {"spec": {"domain": {}}}}
    vm = {"metadata": meta, "spec": spec, "status": state}
    api.put(resource.VIRTUAL_MACHINES.path(namespace), vm)
    if runs:
        put_guest(api, name, namespace)


def put_guest(api: GuestServer, name: str, namespace: str = "default", phase: str = "Running") -> None:
    """A VirtualMachineInstance."""
    interfaces = [{"ipAddress": "10.244.1.7"}]
    conditions = [{"type": "Ready", "status": "True"}, {"type": "LiveMigratable", "status": "True"}]
    status = {"phase": phase, "nodeName": "node1", "interfaces": interfaces, "conditions": conditions}
    body = {"metadata": {"name": name, "creationTimestamp": CREATED}, "spec": {"domain": {}}, "status": status}
    api.put(resource.VIRTUAL_MACHINE_INSTANCES.path(namespace), body)


def put_event(api: GuestServer, name: str, about: str, note: str, kind: str = "VirtualMachineInstance") -> None:
    """An event."""
    regarding = {"kind": kind, "namespace": "default", "name": about}
    body = {"metadata": {"name": name, "creationTimestamp": CREATED}, "type": "Warning", "reason": "FailedStart"}
    api.put(resource.EVENTS.path("default"), {**body, "note": note, "regarding": regarding, "eventTime": CREATED})


def put_suite(api: GuestServer, **status: Any) -> None:
    """A KubeVirt object, and the virt-handler of node1."""
    api.put(resource.KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "status": status})
    meta = {"name": "virt-handler-1", "labels": {"kubevirt.io": "virt-handler"}}
    conditions = [{"type": "Ready", "status": "True"}]
    body = {"metadata": meta, "spec": {"nodeName": "node1"}, "status": {"conditions": conditions}}
    api.put(resource.PODS.path("kubevirt"), body)


@asynccontextmanager
async def page_server(
    api: GuestServer, folder: Path, files: Mapping[str, File], namespace: str | None = None
) -> AsyncIterator[Server]:
    """The server, with its watches."""
    async with connected(str(api.write_kubeconfig(folder / "config")), None, None) as access:
        board = Board(access.client, namespace, "kubevirt")
        watches = asyncio.create_task(board.run())
        try:
            async with listening(access, board, files) as server:
                yield server
        finally:
            watches.cancel()
            await asyncio.gather(watches, return_exceptions=True)

"""`virtadm peers`: asks virt-operator for every process of the suite. Called by cli.py."""

from __future__ import annotations

from typing import Any

import click
from kubevirt.admin.v1 import admin_pb2
from rich.console import Console
from virt_core.rpc.peer import Peer

from virt_admin.access import Access
from virt_admin.peers.replica import asked
from virt_admin.peers.report import exit_code, processes, row
from virt_admin.screen.tables import table
from virt_admin.screen.text import clean, to_json

_DEADLINE = 30.0  # seconds; virt-operator waits 5 for a pod that does not answer
HEADINGS = ("COMPONENT", "POD", "NODE", "RELEASE", "LEVEL", "CONTRACTS", "STATE")


async def show_peers(access: Access, output: str) -> int:
    """Print all processes; returns the process's status."""
    found = processes(await asked(access, "peers", _list))
    if output == "json":
        click.echo(to_json(found))
        return exit_code(found)
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table(HEADINGS, map(row, found)))
    else:
        click.echo("\n".join("\t".join(map(clean, cells)) for cells in (HEADINGS, *map(row, found))))
    return exit_code(found)


async def _list(peer: Peer, stub: Any) -> admin_pb2.ListPeersResponse:
    return await peer.call(stub.ListPeers, admin_pb2.ListPeersRequest(), timeout=_DEADLINE)

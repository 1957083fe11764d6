"""`virtadm contracts`: asks virt-operator for the matrix of contracts and processes. Called by cli.py."""

from __future__ import annotations

from typing import Any

import click
from kubevirt.admin.v1 import admin_pb2
from rich.console import Console
from virt_core.rpc.peer import Peer

from virt_admin.access import Access
from virt_admin.peers.launchers import launcher_row
from virt_admin.peers.matrix import Matrix, exit_code, matrix_of, pairing_row, rows, uncounted
from virt_admin.peers.replica import asked
from virt_admin.screen.tables import table
from virt_admin.screen.text import clean, to_json

_DEADLINE = 30.0  # seconds; virt-operator waits 5 for a pod that does not answer
PROCESSES = ("CONTRACT", "COMPONENT", "POD", "NODE", "RELEASE", "LEVEL", "VERSIONS", "FEATURES")
PAIRINGS = ("CONTRACT", "CALLER", "SERVER", "SHARED VERSIONS", "SHARED FEATURES")
LAUNCHERS = ("LAUNCHER", "LEVEL", "GUESTS", "CONTRACTS", "FEATURES", "FOR EXAMPLE")


async def show_contracts(access: Access, output: str) -> int:
    """Print the matrix; returns the process's status."""
    matrix = matrix_of(await asked(access, "contracts", _list))
    if output == "json":
        click.echo(to_json(matrix))
    else:
        _show(matrix)
    return exit_code(matrix)


def _show(matrix: Matrix) -> None:
    console = Console(highlight=False)
    for headings, found in (
        (PROCESSES, rows(matrix)),
        (PAIRINGS, list(map(pairing_row, matrix.pairings))),
        (LAUNCHERS, list(map(launcher_row, matrix.launchers))),
    ):
        if console.is_terminal:
            console.print(table(headings, found))
            console.print()
        else:
            click.echo("\n".join("\t".join(map(clean, cells)) for cells in (headings, *found)))
    for silent in matrix.silent:
        click.echo(clean(f"{silent.component} {silent.pod} does not answer: {silent.problem}"))
    for sentence in uncounted(matrix):
        click.echo(clean(sentence))


async def _list(peer: Peer, stub: Any) -> admin_pb2.ListContractsResponse:
    return await peer.call(stub.ListContracts, admin_pb2.ListContractsRequest(), timeout=_DEADLINE)

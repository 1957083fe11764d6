"""The options before the command, and how a command runs. Used by cli.py and cli_requests.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import click

from virt_admin.access import Access, connected

OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format."
)


@dataclass(frozen=True, slots=True)
class Flags:
    """The options before the command."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None


def run(flags: Flags, command: Callable[[Access], Awaitable[int]]) -> int:
    """Connect, run the command, return its status."""

    async def main() -> int:
        async with connected(flags.kubeconfig, flags.context, flags.namespace) as access:
            return await command(access)

    return asyncio.run(main())


def quiet_grpc() -> None:
    """Without gRPC's own lines about a failed handshake. Call it before gRPC is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

"""`virtadm plan`: asks virt-operator what an upgrade would do. Called by cli.py, before an upgrade, and by ui/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import click
from kubevirt.admin.v1 import admin_pb2
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer

from virt_admin.access import Access
from virt_admin.peers.replica import asked
from virt_admin.preflight.report import Plan, plan_of
from virt_admin.preflight.text import text
from virt_admin.screen.text import clean, clean_line, to_json

Progress = Callable[[str], Awaitable[None]]
_SILENCE, _LONGEST = 180.0, 900.0  # seconds; virt-operator waits 120 for the target's images


async def show_plan(access: Access, request: admin_pb2.PlanRequest, output: str) -> int:
    """Print the plan, and on standard error what is done meanwhile; returns the process's status."""
    plan = await read_plan(access, request)
    if output == "json":
        click.echo(to_json(plan))
    else:
        click.echo("\n".join(map(clean_line, text(plan))))
    return plan.exit_code


async def _print(activity: str) -> None:
    click.echo(f"{clean(activity)} …", err=True)


async def read_plan(access: Access, request: admin_pb2.PlanRequest, progress: Progress = _print) -> Plan:
    """The plan; `progress` is called with what is done meanwhile, by default it is printed on standard error."""

    async def call(peer: Peer, stub: Any) -> Plan:
        return await _received(peer, stub, request, progress)

    return await asked(access, "plan", call)


async def _received(peer: Peer, stub: Any, request: admin_pb2.PlanRequest, progress: Progress) -> Plan:
    findings: list[admin_pb2.Finding] = []
    async with aclosing(peer.stream(stub.Plan, request, idle=_SILENCE, lifetime=_LONGEST)) as responses:
        async for response in responses:
            match response.WhichOneof("message"):
                case "progress":
                    await progress(response.progress.activity)
                case "findings":
                    findings += response.findings.findings
                case "summary":
                    return plan_of(response.summary, findings)
    raise RpcError(f"{peer.name} has ended the plan without a summary")

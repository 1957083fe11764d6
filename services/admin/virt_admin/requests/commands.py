"""`virtadm upgrade`, `pause`, `resume`, `rollback` and `finalize`. Called by cli_requests.py."""

from __future__ import annotations

import click
from kubevirt.admin.v1 import admin_pb2

from virt_admin.access import Access
from virt_admin.follow import follow_until
from virt_admin.outcome import ATTENTION, BROKEN, CLEAN, CannotTell, OperatorSilent
from virt_admin.peers.replica import no_certificate
from virt_admin.preflight.ask import read_plan
from virt_admin.preflight.report import BLOCKING, WARNING, Plan
from virt_admin.preflight.text import text
from virt_admin.requests.carry_out import carry_out
from virt_admin.requests.goal import End, end_of
from virt_admin.requests.wish import Requested, Wish
from virt_admin.screen.text import clean, clean_line, to_json
from virt_admin.suite.observed import Observed


async def upgrade(access: Access, wish: Wish, output: str, *, plans: bool, waits: bool, direct: bool) -> int:
    """Make the plan, and if nothing is in the way, request it; returns the process's status."""
    if plans:
        if access.certificate is None:
            raise CannotTell(f"{no_certificate('the plan')}. To begin without a plan, use --skip-plan")
        try:
            plan = await read_plan(access, admin_pb2.PlanRequest(tag=wish.tag, registry=wish.registry))
        except OperatorSilent as error:
            raise CannotTell(f"no plan: {error}. To begin without one, use --skip-plan --direct") from error
        _show_plan(plan, output)
        if plan.blocking:
            click.echo("nothing was changed: mend what stands in the way, or use --skip-plan", err=True)
            return BROKEN
    return await request(access, wish, output, waits=waits, direct=direct)


async def request(access: Access, wish: Wish, output: str, *, waits: bool, direct: bool) -> int:
    """Carry it out, and wait until it has ended; returns the process's status."""
    requested = await carry_out(access, wish, direct=direct)
    click.echo(to_json(requested) if output == "json" else clean(requested.message))
    return await _wait(access, requested, output) if waits and requested.version else CLEAN


async def _wait(access: Access, requested: Requested, output: str) -> int:
    def end(observed: Observed | None) -> End | None:
        return end_of(observed.kubevirt if observed is not None else None, requested.version)

    ended = await follow_until(access, output, end)
    if ended is None:
        click.echo("it goes on without virtadm; virtadm watch shows it", err=True)
        return ATTENTION
    status, sentence = ended
    click.echo(clean(sentence), err=True)
    return status


def _show_plan(plan: Plan, output: str) -> None:
    """In short: what blocks, warnings, the summary."""
    if output == "json":
        click.echo(to_json(plan))
        return
    lines = text(plan, severities=(BLOCKING, WARNING))
    click.echo("\n".join(map(clean_line, lines)))

"""`virtadm status`: the suite, once. Called by cli.py."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.console import Console

from virt_admin.access import Access
from virt_admin.outcome import BROKEN
from virt_admin.screen.lines import lines
from virt_admin.screen.tables import view
from virt_admin.screen.text import to_json
from virt_admin.suite.listing import read_suite
from virt_admin.suite.summary import summarize

NOTHING = "no KubeVirt object exists: nothing is installed, or not completely"


async def show_status(access: Access, output: str) -> int:
    """Print the suite; returns the process's status."""
    observed = await read_suite(access.client)
    if observed is None:
        click.echo(to_json({"error": NOTHING}) if output == "json" else NOTHING)
        return BROKEN
    summary = summarize(observed)
    console = Console(highlight=False)
    if output == "json":
        click.echo(to_json(summary))
    elif console.is_terminal:
        console.print(view(summary, datetime.now(UTC)))
    else:
        click.echo("\n".join(lines(summary)))
    return summary.exit_code

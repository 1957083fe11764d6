"""`virtadm doctor`: reads, lets the rules decide, shows what they found. Called by cli.py."""

from __future__ import annotations

from collections.abc import Iterator

import click

from virt_admin.access import Access
from virt_admin.doctor.finding import PROBLEM, Finding, exit_code
from virt_admin.doctor.machine import diagnose
from virt_admin.doctor.read import read_case
from virt_admin.doctor.suite import diagnose_suite
from virt_admin.outcome import CannotTell
from virt_admin.screen.text import clean_line, to_json
from virt_admin.show import NOTHING
from virt_admin.suite.listing import read_suite

_INSTALL = "apply kubevirt-operator.yaml and kubevirt-cr.yaml of a release"


async def examine(access: Access, machine: str | None, output: str) -> int:
    """Print why `machine` ("NAMESPACE/NAME" or "NAME"), or without one the suite, does not work; returns the process's
    status."""
    suite = await read_suite(access.client)
    if suite is None:
        findings: tuple[Finding, ...] = (Finding(PROBLEM, NOTHING, "KubeVirt", advice=_INSTALL),)
    elif machine is None:
        findings = diagnose_suite(suite)
    else:
        namespace, _, name = machine.rpartition("/")
        if not name or "/" in namespace:
            raise CannotTell(f"{machine} names no VM, use NAMESPACE/NAME or NAME")
        findings = diagnose(await read_case(access.client, suite, namespace or access.namespace, name))
    if output == "json":
        click.echo(to_json(findings))
    else:
        click.echo("\n".join(map(clean_line, text(findings))) or "nothing is wrong, and nothing is waited for")
    return exit_code(findings)


def text(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Lines for people, not cleaned yet."""
    for finding in findings:
        since = f", since {finding.since}" if finding.since else ""
        yield f"{finding.kind}: {finding.what}"
        yield f"\t{finding.object}{since}"
        if finding.advice:
            yield f"\t→ {finding.advice}"

"""`virtadm doctor`: reads, lets the rules decide, shows what they found. Called by cli.py and ui/calls.py."""

from __future__ import annotations

from collections.abc import Iterator

import click

from virt_admin.access import Access
from virt_admin.doctor.finding import PROBLEM, Finding, exit_code
from virt_admin.doctor.machine import diagnose
from virt_admin.doctor.read import read_case
from virt_admin.doctor.suite import diagnose_suite
from virt_admin.outcome import WrongArgument
from virt_admin.screen.text import clean_line, to_json
from virt_admin.show import NOTHING
from virt_admin.suite.listing import read_suite

_INSTALL = "apply kubevirt-operator.yaml and kubevirt-cr.yaml of a release"


async def examine(access: Access, machine: str | None, output: str) -> int:
    """Print why `machine` does not work; returns the process's status."""
    findings = await findings_of(access, machine)
    if output == "json":
        click.echo(to_json(findings))
    else:
        click.echo("\n".join(map(clean_line, text(findings))) or "nothing is wrong, and nothing is waited for")
    return exit_code(findings)


async def findings_of(access: Access, machine: str | None) -> tuple[Finding, ...]:
    """Why `machine` ("NAMESPACE/NAME" or "NAME"), or without one the suite, does not work.

    Raises:
        WrongArgument: it is no name of a VM.
        CannotTell: there is no such VM, or something cannot be read.
    """
    suite = await read_suite(access.client)
    if suite is None:
        return (Finding(PROBLEM, NOTHING, "KubeVirt", advice=_INSTALL),)
    if machine is None:
        return diagnose_suite(suite)
    namespace, _, name = machine.rpartition("/")
    if not name or "/" in namespace:
        raise WrongArgument(f"{machine} names no VM, use NAMESPACE/NAME or NAME")
    return diagnose(await read_case(access.client, suite, namespace or access.namespace, name))


def text(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Lines for people, not cleaned yet."""
    for finding in findings:
        since = f", since {finding.since}" if finding.since else ""
        yield f"{finding.kind}: {finding.what}"
        yield f"\t{finding.object}{since}"
        if finding.advice:
            yield f"\t→ {finding.advice}"

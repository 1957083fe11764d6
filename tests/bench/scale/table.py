"""The measured numbers beside the targets and KubeVirt's published ones, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    measured: float
    target: str = ""
    met: bool = True
    kubevirt: str = ""


def rows(found: Measured) -> Iterator[Row]:
    """Of what was measured; `found` is that of `python -m tests.bench scale`."""
    runs: dict[str, Measured] = found.get("vmis", {})
    for count, run in runs.items():
        yield from _of_vmis(count, run)
    for count, run in found.get("vms", {}).items():
        yield from _of_vms(count, run)


def _of_vmis(count: str, run: Measured) -> Iterator[Row]:
    rate, memory, restart = run["per second"], run["memory_mb"], run["restart"]["seconds to synced"]
    life = run["requests"]["virt-controller"] + run["deleted"]["requests"]["virt-controller"]
    processors = run["processor_ms_per_machine"]
    own, all_ = processors["virt-controller"], round(sum(processors.values()), 1)
    yield Row(f"{count} VMIs: brought to Running a second", rate, "≥ 150", rate >= 150, "20 (its limiter)")
    for what, seconds in run["seconds to Running"].items():
        yield Row(f"{count} VMIs: {what} of the time from its creation until one runs, seconds", seconds)
    yield Row(f"{count} VMIs: virt-controller's processor time for one, ms", own)
    yield Row(f"{count} VMIs: everybody's processor time for one, ms", all_)
    for when, label in (("all run", "all run"), ("restarted", "all run, after its restart")):
        found = memory[when]["rss"]
        yield Row(f"{count} VMIs: virt-controller's RSS, {label}, MB", found, "≤ 200", found <= 200, "1,986")
    yield Row(f"{count} VMIs: its requests for one, created and deleted", round(life, 2), "≤ 6", life <= 6, "11.0")
    yield Row(f"{count} VMIs: its restart, seconds until synced", restart, "≤ 5", restart <= 5)


def _of_vms(count: str, run: Measured) -> Iterator[Row]:
    start, end = run["requests"], run["deleted"]["requests"]
    life = start["virt-controller"] + end["virt-controller"]
    events = sum(part["of virt-controller"].get("create events", 0.0) for part in (start, end))
    yield Row(f"{count} VMs: brought to Running a second", run["per second"])
    yield Row(f"{count} VMs: virt-controller's requests for one until it runs", start["virt-controller"])
    yield Row(f"{count} VMs: its requests for the deletion of one", end["virt-controller"])
    yield Row(f"{count} VMs: both", round(life, 2), "≤ 12", life <= 12, "27.9")
    yield Row(f"{count} VMs: of these events", round(events, 2))
    for what, part in (("created", run), ("deleted", run["deleted"])):
        wait = max(part["queue_p99_seconds"].values(), default=0.0)
        text = f"{count} VMs: P99 of the wait in its queues while they are {what}, seconds"
        yield Row(text, wait, "≤ 0.2", wait <= 0.2, "7.0")


def markdown(found: Measured) -> str:
    """The table."""
    lines = ["| what | measured | target | met | KubeVirt |", "|---|---|---|---|---|"]
    for row in rows(found):
        met = "" if not row.target else "yes" if row.met else "**no**"
        lines.append(f"| {row.what} | {row.measured:,.4g} | {row.target} | {met} | {row.kubevirt} |")
    return "\n".join(lines) + "\n"

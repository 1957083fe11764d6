"""The summary as tables, for terminals. Called by show.py and follow.py, which draw it by rich.

Every text is cleaned and passed as rich's Text, so that nothing in it is markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text
from virt_core.objects.meta import Condition

from virt_admin.screen.lines import guests_line, handler_state, node_state
from virt_admin.screen.text import age, clean
from virt_admin.suite.summary import Summary

_NODES = 30  # in a live view; the others are counted


def view(summary: Summary, now: datetime) -> Group:
    """All of it, with ages at `now`."""
    parts: list[Table | Text] = [_headline(summary)]
    parts += [_text(f"! {warning}", "yellow") for warning in summary.warnings]
    parts.append(_conditions(summary.conditions, now))
    parts += _change(summary, now)
    parts += [_components(summary), _nodes(summary), _text(guests_line(summary.guests))]
    return Group(*parts)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of cleaned texts."""
    built = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        built.add_column(heading, overflow="fold")
    for row in rows:
        built.add_row(*(_text(cell) for cell in row))
    return built


def _text(text: str, style: str = "") -> Text:
    return Text(clean(text), style=style)


def _headline(summary: Summary) -> Text:
    release = summary.version or "nothing installed"
    target = f" → {summary.target_version}" if summary.target_version not in ("", summary.version) else ""
    style = {0: "bold green", 1: "bold yellow"}.get(summary.exit_code, "bold red")
    return _text(f"KubeVirt {summary.namespace}/{summary.name}  {summary.phase}  {release}{target}", style)


def _conditions(conditions: Iterable[Condition], now: datetime) -> Table:
    rows = [
        (condition.type, condition.status, age(condition.last_transition_time, now), condition.message)
        for condition in conditions
    ]
    return table(("CONDITION", "STATUS", "SINCE", "MESSAGE"), rows)


def _change(summary: Summary, now: datetime) -> list[Table | Text]:
    change = summary.upgrade
    if change is None or not change.operation:
        return []
    head = f"{change.operation} to {change.to_version} for {age(change.started_at, now)}: step {change.step}"
    waits = [(wait.object, age(wait.since, now), wait.reason) for wait in change.waiting_for]
    return [
        _text(f"{head}, for {age(change.since, now)}", "bold"),
        *([table(("WAITING FOR", "SINCE", "WHY"), waits)] if waits else []),
    ]


def _components(summary: Summary) -> Table:
    rows = [
        (part.name, f"{part.ready}/{part.wanted}", f"{part.current}/{part.wanted}", "; ".join(part.troubles))
        for part in summary.components
    ]
    return table(("COMPONENT", "READY", "NEW", "TROUBLE"), rows)


def _nodes(summary: Summary) -> Table:
    # Those where something is to be seen come first.
    order = sorted(summary.nodes, key=lambda node: node.ready and node.handler_ready and node.handler == "new")
    rows = [
        (node.name, node_state(node), handler_state(node), str(node.kvm), str(node.guests), str(node.outdated))
        for node in order[:_NODES]
    ]
    if len(order) > _NODES:
        rows.append((f"and {len(order) - _NODES} more", "", "", "", "", ""))
    return table(("NODE", "STATE", "VIRT-HANDLER", "KVM", "GUESTS", "ON OLD LAUNCHERS"), rows)

"""The summary as tables, for terminals. Called by show.py and follow.py, which draw it by rich.

Every text is cleaned and passed as rich's Text, so that nothing in it is markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text
from virt_core.objects.meta import Condition
from virt_core.objects.upgrade_status import Upgrade
from virt_core.objects.upgrade_steps import DONE, NOW, TO_COME

from virt_admin.screen.lines import guests_line, handler_state, node_state, wave_line, way_back_line
from virt_admin.screen.text import age, clean
from virt_admin.suite.change import FINALIZED, GOING_BACK, PAUSED, STOPPED, sentence
from virt_admin.suite.summary import Summary

_MARKS = {DONE: "✓", NOW: "▶", TO_COME: "·"}
_STYLES = {PAUSED: "yellow", GOING_BACK: "red", STOPPED: "red", FINALIZED: "green"}
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
    upgrade, change = summary.upgrade, summary.change
    parts: list[Table | Text] = []
    if upgrade is not None and upgrade.operation:
        head = f"{upgrade.operation} to {upgrade.to_version} for {age(upgrade.started_at, now)}: step {upgrade.step}"
        parts.append(_text(f"{head}, for {age(upgrade.since, now)}", "bold"))
    if change.steps:
        parts.append(_text("   ".join(f"{_MARKS[step.state]} {step.name}" for step in change.steps)))
    if upgrade is not None:
        parts += _details(upgrade, now)
    if change.state:
        parts.append(_text(f"change: {change.state}", _STYLES.get(change.state, "")))
    if change.next:
        parts.append(_text(f"next: {change.next}", "bold"))
    return parts


def _details(upgrade: Upgrade, now: datetime) -> Iterator[Table | Text]:
    if (wave := upgrade.wave) is not None:
        yield _text(wave_line(wave))
    if upgrade.paused_since:
        yield _text(f"paused for {age(upgrade.paused_since, now)}", "yellow")
    if upgrade.stopped is not None:
        yield _text(sentence(upgrade.stopped), "red")
    if waits := [(wait.object, age(wait.since, now), wait.reason) for wait in upgrade.waiting_for]:
        yield table(("WAITING FOR", "SINCE", "WHY"), waits)
    if (back := upgrade.way_back) is not None and back.version:
        yield _text(way_back_line(back))


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

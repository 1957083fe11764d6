"""The summary as plain lines, for pipes and logs. Pure; called by show.py and follow.py.

Times are absolute, so a line changes only if what it says changes: `watch` prints the lines that are new.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.objects.meta import Condition
from virt_core.objects.upgrade_status import Upgrade, Wave, WayBack
from virt_core.objects.upgrade_steps import DONE, NOW, TO_COME

from virt_admin.screen.text import clean, listed
from virt_admin.suite.change import Change, sentence
from virt_admin.suite.summary import Component, Guests, NodeState, Summary

_NODES = 10  # named of a wave


def lines(summary: Summary) -> list[str]:
    """All of it, cleaned."""
    return [clean(line) for line in _lines(summary)]


def _lines(summary: Summary) -> Iterator[str]:
    release = summary.version or "nothing installed"
    target = f", target {summary.target_version}" if summary.target_version not in ("", summary.version) else ""
    yield f"KubeVirt {summary.namespace}/{summary.name}: {summary.phase or 'no phase yet'}, {release}{target}"
    yield from (f"warning: {warning}" for warning in summary.warnings)
    yield from map(condition_line, summary.conditions)
    if (upgrade := summary.upgrade) is not None:
        yield from _upgrade(upgrade, summary.change)
    if summary.change.state:
        yield f"change: {summary.change.state}"
    if summary.change.next:
        yield f"next: {summary.change.next}"
    yield from map(component_line, summary.components)
    for component in summary.components:
        yield from (f"pod {trouble}" for trouble in component.troubles)
    yield from map(node_line, summary.nodes)
    yield guests_line(summary.guests)


def _upgrade(upgrade: Upgrade, change: Change) -> Iterator[str]:
    if upgrade.operation:
        versions = f" from {upgrade.from_version}" if upgrade.from_version else ""
        yield f"{upgrade.operation}{versions} to {upgrade.to_version}, since {upgrade.started_at}"
        yield f"step {upgrade.step or 'none yet'}, since {upgrade.since}"
    if change.steps:
        yield "; ".join(f"steps {state}: {names_in(change, state) or 'none'}" for state in (DONE, NOW, TO_COME))
    if (wave := upgrade.wave) is not None:
        yield wave_line(wave)
    if upgrade.paused_since:
        yield f"paused since {upgrade.paused_since}"
    if (stopped := upgrade.stopped) is not None:
        yield f"stopped {stopped.at}: {sentence(stopped)}"
    for wait in upgrade.waiting_for:
        yield f"waiting for {wait.object}: {wait.reason}, since {wait.since}"
    if (back := upgrade.way_back) is not None and back.version:
        yield way_back_line(back)


def names_in(change: Change, state: str) -> str:
    """The steps in that state."""
    return ", ".join(step.name for step in change.steps if step.state == state)


def wave_line(wave: Wave) -> str:
    """The wave with its nodes."""
    proven = f", proven {wave.proven}" if wave.proven else ""
    return f"wave {wave.number} on {listed(wave.nodes, _NODES)}, since {wave.since}{proven}"


def way_back_line(back: WayBack) -> str:
    """To which release a way back leads."""
    release = f" ({back.release})" if back.release else ""
    proven = f", the change is proven since {back.proven_at}" if back.proven_at else ""
    refusals = f"; not final: {'; '.join(back.refusals)}" if back.refusals else ""
    return f"way back to {back.version}{release}{proven}{refusals}"


def condition_line(condition: Condition) -> str:
    """A condition, with the time of its last change."""
    since = f", since {condition.last_transition_time}" if condition.last_transition_time else ""
    return f"{condition.type}={condition.status} {condition.reason}: {condition.message}{since}"


def component_line(component: Component) -> str:
    """How many of its pods are ready, and how many are new."""
    return (
        f"{component.name}: {component.ready} of {component.wanted} ready, {component.current} of the newest template"
    )


def node_line(node: NodeState) -> str:
    """A node's state, handler and guests."""
    guests = f"{node.guests} guests, {node.outdated} on old launchers"
    return f"node {node.name}: {node_state(node)}, virt-handler {handler_state(node)}, {guests}"


def node_state(node: NodeState) -> str:
    """In words."""
    state = "ready" if node.ready else "not ready"
    state += f" since {node.not_ready_since}" if node.not_ready_since else ""
    state += f" ({node.why_not_ready})" if node.why_not_ready else ""
    state += ", cordoned" if node.cordoned else ""
    return state if node.starts_guests else f"{state}, takes no guests"


def handler_state(node: NodeState) -> str:
    """In words: its age, image tag and readiness."""
    if not node.handler_tag and not node.handler:
        return "missing"
    return f"{node.handler} {node.handler_tag} {'ready' if node.handler_ready else 'not ready'}".strip()


def guests_line(guests: Guests) -> str:
    """How many there are, and of which launchers."""
    moved = guests.running - guests.outdated
    blocked = "".join(f", {count} blocked by {reason}" for reason, count in guests.blocked.items())
    return (
        f"guests: {guests.running} running ({moved} on new launchers, {guests.outdated} on old ones, "
        f"{guests.moving} moving{blocked}), {guests.starting} starting"
    )

"""Decides where a guest is to run after its copy has ended, from what both hypervisors show. Pure; called by source.py.

The source runs on unless the guest has arrived at the target completely. If that is unknown, nobody runs it: this is
repeated until the target answers, or is known to have ended.
"""

from __future__ import annotations

import enum

from virt_launcher.domain.observation import DomainPhase, Observation, ShutoffReason


class Outcome(enum.Enum):
    """Of a copy."""

    SWITCHED = "switched"
    """The guest belongs to the target and never runs at the source again."""
    ABORTED = "aborted"
    """The guest stays at the source, or has ended there."""
    ASK_TARGET = "ask the target"
    """The source's hypervisor alone does not show it."""


_ENDED_HERE = frozenset({ShutoffReason.SHUTDOWN, ShutoffReason.DESTROYED})


def at_source(seen: Observation) -> Outcome:
    """What the source's domain shows, when nothing is being copied any more."""
    if seen.phase is DomainPhase.SHUTOFF and seen.reason is ShutoffReason.MIGRATED:
        return Outcome.SWITCHED
    if seen.phase is DomainPhase.SHUTOFF and seen.reason in _ENDED_HERE:
        return Outcome.ABORTED
    # A libvirtd that died at the end of the copy leaves QEMU stopped for the migration, or does not know its end.
    if seen.phase in (DomainPhase.MIGRATING, DomainPhase.SHUTOFF, DomainPhase.ABSENT):
        return Outcome.ASK_TARGET
    return Outcome.ABORTED


def at_target(seen: Observation) -> Outcome:
    """What the target's domain shows, when the source's does not. libvirt ends a guest that has not arrived completely
    when the source's connection is lost."""
    if seen.phase in (DomainPhase.ABSENT, DomainPhase.SHUTOFF):
        return Outcome.ABORTED
    if seen.phase is DomainPhase.MIGRATING:
        return Outcome.ASK_TARGET
    return Outcome.SWITCHED

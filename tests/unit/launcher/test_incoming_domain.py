"""What libvirt says of the domain of a guest that arrives."""

from __future__ import annotations

from collections.abc import Sequence

import libvirt
import pytest
from virt_launcher.domain.guest import observe_incoming
from virt_launcher.domain.observation import DomainPhase, ShutoffReason


class Domain:
    """Is in each state until it is read, and in the last one from then on."""

    def __init__(self, states: Sequence[tuple[int, int]], persistent: bool) -> None:
        self._states = list(states)
        self._persistent = persistent

    def state(self) -> list[int]:
        return list(self._states.pop(0) if len(self._states) > 1 else self._states[0])

    def isPersistent(self) -> int:  # noqa: N802 - libvirt's name
        return int(self._persistent)

    def metadata(self, *_: object) -> str:
        raise libvirt.libvirtError("no description")


class Connection:
    """Of a libvirtd with one domain."""

    def __init__(self, *states: tuple[int, int], persistent: bool = False) -> None:
        self._domain = Domain(states, persistent)

    def listAllDomains(self, flags: int) -> list[Domain]:  # noqa: N802 - libvirt's name
        return [self._domain]


@pytest.mark.parametrize(
    ("state", "reason", "phase"),
    [
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, DomainPhase.STANDING),
        (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_UNKNOWN, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_NOSTATE, libvirt.VIR_DOMAIN_NOSTATE_UNKNOWN, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED, DomainPhase.MIGRATING),
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED, DomainPhase.RUNNING),
    ],
)
def test_an_incoming_qemu_that_libvirt_ends_has_not_run_the_guest(state: int, reason: int, phase: DomainPhase) -> None:
    assert observe_incoming(Connection((state, reason))).phase is phase


def test_an_incoming_qemu_that_libvirt_ends_while_it_is_observed_has_not_run_the_guest() -> None:
    """As libvirt 11.3 does after a canceled copy: the target had taken the state of its end for a guest that runs."""
    arriving = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
    connection = Connection(arriving, (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_UNKNOWN))
    assert [observe_incoming(connection).phase for _ in range(2)] == [DomainPhase.MIGRATING] * 2


def test_a_guest_that_arrived_and_shut_down_before_anybody_looked_has_run() -> None:
    """libvirt makes the domain of an arriving guest persistent when all of it is there."""
    shut_off = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN)
    seen = observe_incoming(Connection(shut_off, persistent=True))
    assert (seen.phase, seen.reason) == (DomainPhase.SHUTOFF, ShutoffReason.SHUTDOWN)

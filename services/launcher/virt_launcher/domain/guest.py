"""Blocking calls on the domain of this launcher's libvirtd: observations and actions.

Called by host.py's threads with an open connection. Decides nothing.
"""

from __future__ import annotations

import contextlib
import json
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from virt_launcher.domain.names import EMULATOR
from virt_launcher.domain.observation import DiskError, DomainPhase, Observation, ShutoffReason, StallReason
from virt_launcher.domain.only_domain import find_domain, require_domain
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable


def warm(connection: Any) -> None:
    """Have libvirt probe QEMU's capabilities, unless they are cached, before they are needed. A machine that arrives
    meanwhile waits for this probe."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        connection.getDomainCapabilities(EMULATOR)


def observe(connection: Any) -> Observation:
    """Observe the domain. Takes no lock that a running job holds.

    Raises:
        HypervisorUnavailable: the state is transient and means nothing.
    """
    domain = find_domain(connection)
    return Observation(DomainPhase.ABSENT) if domain is None else _observation(*domain.state())


def _observation(state: int, reason: int) -> Observation:
    import libvirt

    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        reasons = {
            libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: ShutoffReason.SHUTDOWN,
            libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: ShutoffReason.DESTROYED,
            libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: ShutoffReason.CRASHED,
            libvirt.VIR_DOMAIN_SHUTOFF_FAILED: ShutoffReason.FAILED,
            libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: ShutoffReason.MIGRATED,
        }
        return Observation(DomainPhase.SHUTOFF, reasons.get(reason, ShutoffReason.UNKNOWN))
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return Observation(DomainPhase.PANICKED)
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return _stopped(reason)
    return Observation(DomainPhase.RUNNING, ending=state == libvirt.VIR_DOMAIN_SHUTDOWN)


def _stopped(reason: int) -> Observation:
    import libvirt

    if reason == libvirt.VIR_DOMAIN_PAUSED_USER:
        return Observation(DomainPhase.STANDING)
    if reason == libvirt.VIR_DOMAIN_PAUSED_STARTING_UP:
        # A libvirtd died while it started QEMU; its successor is about to kill that QEMU.
        raise HypervisorUnavailable("libvirtd has not cleaned up an interrupted start yet")
    if reason in (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY):
        return Observation(DomainPhase.MIGRATING)
    io_error = reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR
    return Observation(DomainPhase.STALLED, stall=StallReason.IO_ERROR if io_error else StallReason.OTHER)


def observe_incoming(connection: Any) -> Observation:
    """Observe the domain of a launcher whose guest arrives by a migration: libvirt starts and ends its QEMU."""
    domain = find_domain(connection)
    if domain is None:
        return Observation(DomainPhase.ABSENT)
    state, reason = domain.state()  # once: a QEMU that libvirt ends goes through states of guests that have run
    if _is_on_its_way(domain, state, reason):
        return Observation(DomainPhase.MIGRATING)
    seen = _observation(state, reason)
    if seen.phase not in (DomainPhase.STANDING, DomainPhase.SHUTOFF):
        return seen
    return replace(seen, committed_by=_description(domain))


def handed_over_by(connection: Any) -> str:
    """The UID of the last migration whose source has handed over the domain; empty: it has not been handed over."""
    domain = find_domain(connection)
    return _description(domain) if domain is not None else ""


def _description(domain: Any) -> str:
    import libvirt

    try:
        return str(domain.metadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, None))
    except libvirt.libvirtError:  # it has no description
        return ""


def _is_on_its_way(domain: Any, state: int, reason: int) -> bool:
    """Whether the guest is not there completely: its domain is persistent when it is. libvirt ends QEMU when the source
    is lost; no guest has run then, though QEMU reports a shutdown."""
    import libvirt

    if state == libvirt.VIR_DOMAIN_PAUSED:
        return bool(reason == libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return not domain.isPersistent()
    return state in (libvirt.VIR_DOMAIN_NOSTATE, libvirt.VIR_DOMAIN_SHUTDOWN)


def create_standing(connection: Any, xml: str) -> None:
    """Define the domain, persistently, in place of what an earlier attempt defined, and start QEMU without starting the
    CPUs."""
    import libvirt

    earlier = find_domain(connection)
    if earlier is not None and not earlier.isActive():
        # A launcher of another release may have named it differently, and libvirt renames no domain.
        earlier.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    domain = connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)


def disk_capacities(connection: Any, targets: list[str]) -> list[int]:
    """The virtual sizes in bytes of disks that have a medium."""
    domain = require_domain(connection)
    return [int(domain.blockInfo(target)[0]) for target in targets]


def disk_errors(connection: Any) -> tuple[DiskError, ...]:
    """Disks with an I/O error because of which QEMU stopped the guest. Queries QEMU, which may hang with its disk."""
    import libvirt

    errors: dict[str, int] = require_domain(connection).diskErrors()
    return tuple(DiskError(target, error == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE) for target, error in errors.items())


def read_statistics(connection: Any, in_call: AbstractContextManager[None]) -> dict[str, Any]:
    """What libvirt counts of the domain, without waiting for QEMU where it is busy; by libvirt's names. `in_call`
    is entered for the time of the call, also when nobody waits for the result any more."""
    import libvirt

    kinds = (
        libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
        libvirt.VIR_DOMAIN_STATS_BALLOON,
        libvirt.VIR_DOMAIN_STATS_VCPU,
        libvirt.VIR_DOMAIN_STATS_INTERFACE,
        libvirt.VIR_DOMAIN_STATS_BLOCK,
    )
    with in_call:
        domain, no_wait = require_domain(connection), libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        counted = connection.domainListGetStats([domain], sum(kinds), no_wait)
    return dict(counted[0][1]) if counted else {}  # a domain that is gone meanwhile is left out


def machine_type(connection: Any) -> str:
    """The machine type that libvirt chose for the requested one."""
    from xml.etree import ElementTree as ET  # imported late, to connect to libvirtd sooner

    found = ET.fromstring(require_domain(connection).XMLDesc(0)).find("os/type")  # noqa: S314 - libvirt's own
    return "" if found is None else found.get("machine", "")


def start_cpus(connection: Any) -> None:
    """Start or resume the guest's CPUs."""
    require_domain(connection).resume()


def stop_cpus(connection: Any) -> None:
    """Stop the guest's CPUs."""
    require_domain(connection).suspend()


def reset(connection: Any) -> None:
    """Reset the guest."""
    require_domain(connection).reset()


def press_reboot_button(connection: Any) -> None:
    """Request a shutdown by ACPI, after which libvirt resets the guest."""
    import libvirt

    require_domain(connection).reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)


def take_screenshot(connection: Any, path: str, in_call: AbstractContextManager[None]) -> None:
    """Have QEMU write the first display as PNG to a new file. `in_call` is as for read_statistics."""
    import libvirt_qemu

    command = {"execute": "screendump", "arguments": {"filename": path, "format": "png"}}
    with in_call:
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(require_domain(connection), json.dumps(command), 0))
    if "error" in answer:
        raise HypervisorRefused(str(answer["error"].get("desc", answer["error"])))


def press_power_button(connection: Any) -> None:
    """Request a shutdown from the guest by ACPI."""
    import libvirt

    require_domain(connection).shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def destroy(connection: Any) -> None:
    """End QEMU: SIGTERM, so that it flushes its writes, then SIGKILL."""
    require_domain(connection).destroy()

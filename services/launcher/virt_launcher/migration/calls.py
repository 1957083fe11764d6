"""Blocking calls of libvirt for a live migration. Called by connections.py's threads with a connection to the libvirtd
of the source, or of the target. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virt_launcher.domain.only_domain import find_domain, require_domain
from virt_launcher.migration.listening import DISKS_PORT, MEMORY_PORT

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """How a guest is to be copied."""

    address: str
    """The target's."""

    disks: tuple[str, ...]
    """The targets of the disks whose content is copied."""

    bandwidth: int
    """In bytes per second; 0: no limit."""

    auto_converge: bool
    encrypted: bool
    downtime_limit: int
    """As for `limit_downtime`, from the beginning."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy is: bytes, and bytes per second."""

    total: int = 0
    remaining: int = 0
    processed: int = 0
    memory_rate: int = 0
    disk_rate: int = 0
    dirty_rate: int = 0
    downtime: int = 0
    """Milliseconds; expected."""

    passes: int = 0
    """Over the memory, the current one among them."""

    memory: bool = True
    """Whether memory is being copied. Disks are copied before it, and the totals are without it until then."""


def uri(address: str) -> str:
    """The URI of the libvirtd that listens on the address."""
    return f"qemu+tls://{_host(address)}/session"


def migrate(connection: Any, order: Order) -> None:
    """Move the guest. Returns when it is at the target, where it is paused, and this libvirtd has ended its QEMU. The
    source's libvirtd does the work, also without this process."""
    import libvirt

    flags = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PEER2PEER
        | libvirt.VIR_MIGRATE_PAUSED
        | libvirt.VIR_MIGRATE_PERSIST_DEST
        # Whether disks are shared was decided before; libvirt judges by the file system of a path.
        | libvirt.VIR_MIGRATE_UNSAFE
    )
    parameters: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{_host(order.address)}:{MEMORY_PORT}"}
    if order.encrypted:
        flags |= libvirt.VIR_MIGRATE_TLS
    if order.auto_converge:
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
    if order.bandwidth:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(1, order.bandwidth // _MIB)
    if order.disks:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
        parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(order.disks)
        parameters[libvirt.VIR_MIGRATE_PARAM_DISKS_URI] = f"tcp://{_host(order.address)}:{DISKS_PORT}"
    limit_downtime(connection, order.downtime_limit)
    require_domain(connection).migrateToURI3(uri(order.address), parameters, flags)


def limit_downtime(connection: Any, milliseconds: int) -> None:
    """For how long QEMU may stop the guest at the end of the copy; 0: when it has copied the memory once."""
    require_domain(connection).migrateSetMaxDowntime(milliseconds, 0)


def progress(connection: Any) -> Progress | None:
    """How far the copy is; None: nothing is being copied."""
    import libvirt

    domain = find_domain(connection)
    if domain is None or not domain.isActive():
        return None
    job = domain.jobStats()
    if job.get("type") not in (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED):
        return None
    return Progress(
        job.get(libvirt.VIR_DOMAIN_JOB_DATA_TOTAL, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_DATA_REMAINING, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_DATA_PROCESSED, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_BPS, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_DISK_BPS, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 0) * job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 4096),
        job.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION, 0),
        job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL, 0) > 0,
    )


def downtime(connection: Any) -> int:
    """For how many milliseconds the last migration from here has stopped the guest; 0: unknown."""
    import libvirt

    domain = find_domain(connection)
    if domain is None:
        return 0
    job = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    return int(job.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME, 0))


def abort_copy(connection: Any) -> None:
    """Have the copy end. `migrate` then fails, and the guest runs on."""
    require_domain(connection).abortJob()


def hand_over(connection: Any, migration_uid: str, paused: bool) -> None:
    """At the target: start the guest's CPUs unless they are to stay stopped, then put the migration's UID into the
    domain's description. By that the target's launcher knows of a guest that is paused, or ended before it looked. May
    be repeated."""
    import libvirt

    domain = require_domain(connection)
    state, _ = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and not paused:
        domain.resume()
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, migration_uid, None, None, flags)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address

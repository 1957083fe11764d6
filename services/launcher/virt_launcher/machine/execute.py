"""Executes an action. Called by keeper.py. Only this module writes the record, except the machine itself."""

from __future__ import annotations

import asyncio
import time
from typing import assert_never

from google.protobuf.timestamp_pb2 import Timestamp
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_core import logs

from virt_launcher.domain import guest
from virt_launcher.domain.disks_xml import disk_targets
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.hypervisor import Hypervisor, unknown_hardware
from virt_launcher.domain.last_words import last_words
from virt_launcher.domain.xml import domain_xml
from virt_launcher.errors import HypervisorRefused, UnusableDisk
from virt_launcher.machine.actions import (
    Action,
    CreateStanding,
    Destroy,
    PressPowerButton,
    PressRebootButton,
    RecordArrived,
    RecordEnd,
    RecordRunning,
    RecordWanted,
    Reset,
    StartCpus,
    StopCpus,
)
from virt_launcher.machine.record import RecordFolder

_log = logs.bound("virt_launcher.machine")

# On a cold start libvirt first probes QEMU's capabilities: 5 s on a busy node, and a timeout would not help.
_CREATE_TIMEOUT = 120.0  # seconds
# destroy() waits 15 s for QEMU to exit before it kills it.
_CALL_TIMEOUT = 30.0  # seconds


async def execute(action: Action, records: RecordFolder, host: Host, files: DomainFiles) -> None:
    """Execute `action`.

    Raises:
        HypervisorUnavailable: its effect is unknown: observe again.
        HypervisorRefused: it failed, and a retry does not help.
    """
    machine = records.record.machine
    assert machine is not None
    log = _log.bind(machine_uid=machine.uid)
    match action:
        case CreateStanding():
            log.info("starting QEMU")
            await _create_or_end(machine, records, host, files)
        case RecordRunning():
            records.write_running(await _running(machine, host))
        case RecordArrived(paused):
            log.info("recording the guest's arrival", paused=paused)
            running = await _arrived(machine, host)
            phase = state_pb2.MACHINE_PHASE_PAUSED if paused else state_pb2.MACHINE_PHASE_RUNNING
            records.write_wanted(_state(machine, phase))
            records.write_running(running)
        case StartCpus():
            log.info("starting the guest's CPUs")
            await host.call(guest.start_cpus, timeout=_CALL_TIMEOUT)
        case RecordWanted(paused):
            log.info("recording the wanted state", paused=paused)
            phase = state_pb2.MACHINE_PHASE_PAUSED if paused else state_pb2.MACHINE_PHASE_RUNNING
            records.write_wanted(_state(machine, phase))
        case StopCpus():
            log.info("stopping the guest's CPUs")
            await host.call(guest.stop_cpus, timeout=_CALL_TIMEOUT)
        case Reset():
            log.info("resetting the guest")
            await host.call(guest.reset, timeout=_CALL_TIMEOUT)
        case PressRebootButton():
            log.info("requesting a reboot by ACPI")
            await host.call(guest.press_reboot_button, timeout=_CALL_TIMEOUT)
        case PressPowerButton():
            log.info("pressing the guest's power button")
            await host.call(guest.press_power_button, timeout=_CALL_TIMEOUT)
        case Destroy():
            log.info("destroying the guest")
            await host.call(guest.destroy, timeout=_CALL_TIMEOUT)
        case RecordEnd(end, message):
            message += await _last_words(end, machine, files)
            log.info("recording the machine's end", end=state_pb2.MachineEnd.Name(end), message=message)
            _end(records, end, message)
        case _:
            assert_never(action)


async def _create_or_end(machine: machine_pb2.Machine, records: RecordFolder, host: Host, files: DomainFiles) -> None:
    """Create the domain, or record the machine's end if it cannot be started: a retry would fail, too."""
    try:
        await _create(machine, host, files)
    except HypervisorRefused as error:
        _log.warning("recording that the machine cannot be started", reason=str(error))
        _end(records, state_pb2.MACHINE_END_START_FAILED, str(error))
    except UnusableDisk as error:
        _log.warning("recording that a disk cannot be attached", disk=error.disk, reason=str(error))
        _end(records, state_pb2.MACHINE_END_START_FAILED, str(error), failed_disk=error.disk)


async def _create(machine: machine_pb2.Machine, host: Host, files: DomainFiles) -> None:
    _require_known_hardware(machine, files)
    if not machine.disks:
        await host.call(guest.create_standing, domain_xml(machine, files), timeout=_CREATE_TIMEOUT)
        return
    from virt_launcher.storage.in_use import disk_in_use
    from virt_launcher.storage.prepare import prepared_disks

    async with prepared_disks(machine.disks, files.disks) as prepared:
        try:
            await host.call(guest.create_standing, domain_xml(machine, files, prepared), timeout=_CREATE_TIMEOUT)
        except HypervisorRefused as error:
            raise disk_in_use(str(error), machine.disks, prepared) or error from error


def _require_known_hardware(machine: machine_pb2.Machine, files: DomainFiles) -> None:
    """Raises HypervisorRefused with what this image's QEMU has instead. Outside of an image libvirt refuses."""
    hypervisor = Hypervisor.recorded(files.hypervisor)
    if hypervisor is not None and (unknown := unknown_hardware(machine, hypervisor)):
        raise HypervisorRefused(unknown)


async def _disk_states(machine: machine_pb2.Machine, host: Host) -> list[state_pb2.DiskState]:
    """The disks as the hypervisor has them: a launcher that died since may have started it."""
    named = zip(machine.disks, disk_targets(machine.disks), strict=True)
    targets = {disk.name: target for disk, target in named if not disk.tray_open}
    if not targets:
        return []
    sizes = await host.call(guest.disk_capacities, list(targets.values()), timeout=_CALL_TIMEOUT)
    return [
        state_pb2.DiskState(name=name, target=target, capacity_bytes=size)
        for (name, target), size in zip(targets.items(), sizes, strict=True)
    ]


async def _running(machine: machine_pb2.Machine, host: Host) -> state_pb2.MachineState:
    state = _state(machine, state_pb2.MACHINE_PHASE_RUNNING)
    state.disks.extend(await _disk_states(machine, host))
    state.machine_type = await host.call(guest.machine_type, timeout=_CALL_TIMEOUT)
    return state


async def _arrived(machine: machine_pb2.Machine, host: Host) -> state_pb2.MachineState:
    """Like _running. A guest that has arrived may have ended since, and then libvirt knows nothing of its disks."""
    try:
        return await _running(machine, host)
    except HypervisorRefused as error:
        _log.warning("recording the guest's arrival without its disks", reason=str(error))
        return _state(machine, state_pb2.MACHINE_PHASE_RUNNING)


async def _last_words(end: state_pb2.MachineEnd.ValueType, machine: machine_pb2.Machine, files: DomainFiles) -> str:
    """Of a QEMU that crashed, to be appended to the message: its log goes with the pod."""
    if end != state_pb2.MACHINE_END_CRASHED:
        return ""
    words = await asyncio.to_thread(last_words, files.log_of(machine.namespace, machine.name))
    return f"; QEMU wrote last: {words}" if words else ""


def _end(records: RecordFolder, end: state_pb2.MachineEnd.ValueType, message: str, *, failed_disk: str = "") -> None:
    assert records.record.machine is not None
    state = _state(records.record.machine, state_pb2.MACHINE_PHASE_ENDED)
    state.end = end
    state.message = message
    state.failed_disk = failed_disk
    records.write_ended(state)


def _state(machine: machine_pb2.Machine, phase: state_pb2.MachinePhase.ValueType) -> state_pb2.MachineState:
    return state_pb2.MachineState(machine_uid=machine.uid, phase=phase, since=now())


def now() -> Timestamp:
    """The current time, for users."""
    stamp = Timestamp()
    stamp.FromNanoseconds(time.time_ns())
    return stamp

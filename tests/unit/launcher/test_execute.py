"""The executor: each action against the hypervisor and the record, with the disks of a start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.host import Host
from virt_launcher.domain.observation import DomainPhase
from virt_launcher.errors import HypervisorRefused, HypervisorUnavailable
from virt_launcher.machine import actions
from virt_launcher.machine.execute import execute
from virt_launcher.machine.record import RecordFolder

from tests.samples.hypervisors import RECORD
from tests.support.hypervisor.fake_host import DISK_BYTES, FakeHypervisor
from tests.unit.launcher.launcher_pod import UID, machine


class Executing:
    """An executor with its record and hypervisor."""

    def __init__(self, folder: Path) -> None:
        self.hypervisor = FakeHypervisor()
        self.records = RecordFolder(folder)
        self._host = cast(Host, self.hypervisor.connect())
        self._files = replace(DomainFiles.below(folder), hypervisor=folder / "hypervisor.json")

    async def do(self, *todo: actions.Action) -> None:
        for action in todo:
            await execute(action, self.records, self._host, self._files)


@pytest.fixture
def executing(tmp_path: Path) -> Executing:
    made = Executing(tmp_path)
    made.records.write_machine(machine())
    return made


def disk(path: Path, **changes: Any) -> machine_pb2.Disk:
    """A read-only disk, for which no program is run."""
    made = machine_pb2.Disk(
        name="data",
        device=machine_pb2.DISK_DEVICE_DISK,
        bus=machine_pb2.DISK_BUS_VIRTIO,
        read_only=True,
        image_file=machine_pb2.ImageFile(path=str(path)),
    )
    made.MergeFrom(machine_pb2.Disk(**changes))
    return made


async def test_a_record_of_running_has_the_disks_as_the_hypervisor_has_them(
    executing: Executing, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(512))
    executing.records.write_machine(machine(disks=[disk(image)]))
    await executing.do(actions.CreateStanding(), actions.RecordRunning())
    running = executing.records.record.running
    assert running is not None
    assert [(d.name, d.target, d.capacity_bytes) for d in running.disks] == [("data", "vda", DISK_BYTES)]
    assert executing.hypervisor.phase is DomainPhase.STANDING


async def test_a_disk_that_is_not_there_ends_the_machine_by_its_name(executing: Executing, tmp_path: Path) -> None:
    executing.records.write_machine(machine(disks=[disk(tmp_path / "absent.img")]))
    await executing.do(actions.CreateStanding())
    ended = executing.records.record.ended
    assert ended is not None
    assert (ended.end, ended.failed_disk) == (state_pb2.MACHINE_END_START_FAILED, "data")
    assert ended.message == f"disk data: {tmp_path}/absent.img cannot be opened: No such file or directory"
    assert executing.hypervisor.calls == []


async def test_a_start_that_is_refused_ends_the_machine(executing: Executing) -> None:
    executing.hypervisor.refusals["create_standing"] = "no"
    await executing.do(actions.CreateStanding())
    ended = executing.records.record.ended
    assert ended is not None
    assert (ended.end, ended.message, ended.failed_disk) == (state_pb2.MACHINE_END_START_FAILED, "no", "")


async def test_hardware_that_the_image_s_qemu_does_not_know_ends_the_machine_before_its_disks(
    executing: Executing, tmp_path: Path
) -> None:
    (tmp_path / "hypervisor.json").write_text(RECORD)
    executing.records.write_machine(machine(machine_type="pc-q35-10.0", disks=[disk(tmp_path / "absent.img")]))
    await executing.do(actions.CreateStanding())
    ended = executing.records.record.ended
    assert ended is not None and ended.end == state_pb2.MACHINE_END_START_FAILED
    assert ended.message.startswith("machine type 'pc-q35-10.0' is not known to QEMU 7.2.22"), ended
    assert executing.hypervisor.calls == []


async def test_a_locked_disk_ends_the_machine_by_its_name_and_not_by_a_path(
    executing: Executing, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(512))
    executing.records.write_machine(machine(disks=[disk(image)]))
    executing.hypervisor.locked = True
    await executing.do(actions.CreateStanding())
    ended = executing.records.record.ended
    assert ended is not None
    assert (ended.failed_disk, ended.message) == (
        "data",
        'disk data: another virtual machine or process uses its image (QEMU\'s "write" lock)',
    )


async def test_a_start_without_libvirtd_records_nothing(executing: Executing) -> None:
    executing.hypervisor.stop_libvirtd()
    with pytest.raises(HypervisorUnavailable):
        await executing.do(actions.CreateStanding())
    assert executing.records.record.ended is None


@pytest.mark.parametrize("action", [actions.StartCpus(), actions.StopCpus(), actions.Reset(), actions.Destroy()])
async def test_an_act_on_a_guest_that_is_gone_is_refused_and_records_nothing(
    executing: Executing, action: actions.Action
) -> None:
    before = executing.records.record
    with pytest.raises(HypervisorRefused):
        await executing.do(action)
    assert executing.records.record == before


async def test_what_is_wanted_is_recorded_without_the_hypervisor(executing: Executing, tmp_path: Path) -> None:
    executing.hypervisor.stop_libvirtd()
    await executing.do(actions.RecordWanted(paused=True))
    assert RecordFolder(tmp_path).record.pause_wanted
    await executing.do(actions.RecordWanted(paused=False))
    assert not RecordFolder(tmp_path).record.pause_wanted


async def test_an_end_is_recorded_for_the_next_process(executing: Executing, tmp_path: Path) -> None:
    await executing.do(actions.RecordEnd(state_pb2.MACHINE_END_CRASHED, "the hypervisor process died"))
    ended = RecordFolder(tmp_path).record.ended
    assert ended is not None
    assert (ended.machine_uid, ended.end, ended.message) == (
        UID,
        state_pb2.MACHINE_END_CRASHED,
        "the hypervisor process died",
    )


async def test_a_crash_is_recorded_with_what_qemu_wrote_last(executing: Executing, tmp_path: Path) -> None:
    log = DomainFiles.below(tmp_path).log_of(machine().namespace, machine().name)
    log.parent.mkdir(parents=True)
    log.write_text("qemu-system-x86_64: cannot allocate\n")
    await executing.do(actions.RecordEnd(state_pb2.MACHINE_END_CRASHED, "the hypervisor process died"))
    ended = RecordFolder(tmp_path).record.ended
    assert ended is not None
    assert ended.message == "the hypervisor process died; QEMU wrote last: cannot allocate"


async def test_each_action_is_one_call_of_the_hypervisor(executing: Executing) -> None:
    await executing.do(
        actions.CreateStanding(),
        actions.StartCpus(),
        actions.StopCpus(),
        actions.StartCpus(),
        actions.Reset(),
        actions.PressRebootButton(),
        actions.PressPowerButton(),
        actions.Destroy(),
    )
    assert executing.hypervisor.calls == [
        "create_standing",
        "start_cpus",
        "stop_cpus",
        "start_cpus",
        "reset",
        "press_reboot_button",
        "press_power_button",
        "destroy",
    ]

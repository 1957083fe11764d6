"""The one task that acts on the guest, whatever dies beside it: launcher, libvirtd, QEMU."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import command_pb2, machine_pb2, state_pb2
from virt_core.rpc.errors import Refused, Unavailable
from virt_launcher.domain.observation import DiskError, DomainPhase
from virt_launcher.machine.provided import missing

from tests.unit.launcher.launcher_pod import LauncherPod, machine

STARTING, RUNNING = state_pb2.MACHINE_PHASE_STARTING, state_pb2.MACHINE_PHASE_RUNNING
PAUSED, ENDED = state_pb2.MACHINE_PHASE_PAUSED, state_pb2.MACHINE_PHASE_ENDED
UNKNOWN = state_pb2.MACHINE_PHASE_UNKNOWN
PAUSE, UNPAUSE, RESET = command_pb2.Pause(), command_pb2.Unpause(), command_pb2.Reset()
LONGEST_ANSWER = 20.0  # the handler waits for a command's answer no longer
MOST_CALLS = 12
"""More than the launcher makes for any of the acts below."""
DEATHS = [(call, after) for call in range(MOST_CALLS) for after in (False, True)]


async def test_a_machine_is_recorded_before_its_guest_starts(pod: LauncherPod) -> None:
    assert (await pod.start_machine()).phase == RUNNING
    assert pod.hypervisor.phase is DomainPhase.RUNNING
    calls = pod.hypervisor.calls
    assert calls.index("create_standing") < calls.index("machine_type") < calls.index("start_cpus")
    assert pod.record.running is not None and pod.record.running.machine_type == "pc-q35-7.2"


async def test_a_machine_that_is_accepted_twice_is_started_once(pod: LauncherPod) -> None:
    await asyncio.gather(pod.start_machine(), pod.start_machine())
    assert pod.hypervisor.calls.count("create_standing") == 1
    with pytest.raises(Refused, match="this launcher runs machine"):
        await pod.start_machine(machine(uid="another"))


async def test_a_guest_starts_when_the_pods_other_containers_have_provided_its_files(
    pod: LauncherPod, tmp_path: Path
) -> None:
    kernel, socket = tmp_path / "kernel", tmp_path / "root.sock"
    waiting = machine(kernel_boot=machine_pb2.KernelBoot(kernel_path=str(kernel)))
    waiting.disks.add(name="root").container_disk.socket_path = str(socket)
    assert missing(waiting) == [str(kernel), str(socket)]
    del waiting.disks[:]
    response = await pod.start_machine(waiting)
    assert response.phase == STARTING, "images may take long to be pulled"
    await asyncio.sleep(0)
    assert "create_standing" not in pod.hypervisor.calls
    await pod.restart()
    (tmp_path / "kernel.part").touch()
    (tmp_path / "kernel.part").rename(kernel)
    await pod.phase(RUNNING)
    assert pod.hypervisor.calls.count("create_standing") == 1


async def test_a_machine_whose_files_never_appear_can_be_stopped(pod: LauncherPod, tmp_path: Path) -> None:
    await pod.start_machine(machine(kernel_boot=machine_pb2.KernelBoot(kernel_path=str(tmp_path / "kernel"))))
    pod.terminate()
    await pod.phase(ENDED)
    assert "create_standing" not in pod.hypervisor.calls


@pytest.mark.parametrize(("call", "after"), DEATHS)
async def test_a_start_is_finished_by_the_next_process_at_whatever_call_the_launcher_dies(
    pod: LauncherPod, call: int, after: bool
) -> None:
    pod.die_at(call, after_effect=after)
    pod.keeper.accept(machine())
    await pod.phase(RUNNING)
    assert (pod.hypervisor.phase, pod.hypervisor.lives) == (DomainPhase.RUNNING, 1)


@pytest.mark.parametrize(("call", "after"), DEATHS)
async def test_a_guest_matches_its_record_wherever_the_launcher_dies_during_a_pause(
    pod: LauncherPod, call: int, after: bool
) -> None:
    await pod.start_machine()
    pod.die_at(call, after_effect=after)
    waiting = asyncio.create_task(pod.command(pause=PAUSE))
    await asyncio.sleep(60)
    waiting.cancel()  # the handler's connection broke with the process
    stands = pod.hypervisor.phase is DomainPhase.STANDING
    assert (pod.record.pause_wanted, pod.state.phase) == (stands, PAUSED if stands else RUNNING)
    assert pod.hypervisor.lives == 1


@pytest.mark.parametrize(("call", "after"), DEATHS)
async def test_a_deleted_pod_leaves_no_guest_at_whatever_call_the_launcher_dies(
    pod: LauncherPod, call: int, after: bool
) -> None:
    await pod.start_machine()
    pod.die_at(call, after_effect=after)
    pod.terminate()
    async with asyncio.timeout(300):
        while not pod.finished.is_set():  # noqa: ASYNC110 - of whichever process is there
            await asyncio.sleep(1)
    assert not pod.hypervisor.has_qemu
    assert pod.record.ended is not None


async def test_a_guest_that_hears_the_button_has_shut_down(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.guest_hears_power_button = True
    pod.terminate()
    assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_SHUTDOWN
    assert "destroy" not in pod.hypervisor.calls
    await pod.finished.wait()
    assert pod.settings.termination_message.read_text() != ""


async def test_a_guest_that_does_not_hear_the_button_is_destroyed_when_its_time_is_over(pod: LauncherPod) -> None:
    await pod.start_machine()
    begun = asyncio.get_running_loop().time()
    pod.keeper.request_stop(30)
    assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_DESTROYED
    assert 30 <= asyncio.get_running_loop().time() - begun < 31
    assert pod.hypervisor.calls.count("press_power_button") == 6


async def test_a_machine_that_is_stopped_before_its_start_never_runs(pod: LauncherPod) -> None:
    pod.hypervisor.hanging.add("create_standing")
    pod.keeper.accept(machine())
    await asyncio.sleep(1)
    pod.keeper.request_stop(30)
    pod.hypervisor.hanging.clear()
    assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_DESTROYED
    assert pod.hypervisor.lives == 0
    assert not pod.hypervisor.has_qemu


@pytest.mark.parametrize("dies_with", [(), ("libvirtd",), ("launcher",), ("libvirtd", "launcher")])
async def test_a_qemu_that_dies_has_crashed_whoever_was_away(pod: LauncherPod, dies_with: tuple[str, ...]) -> None:
    await pod.start_machine()
    if "launcher" in dies_with:
        await pod.kill()
    if "libvirtd" in dies_with:
        pod.hypervisor.stop_libvirtd()
    pod.hypervisor.kill_qemu()
    await asyncio.sleep(1)
    if "libvirtd" in dies_with:
        pod.hypervisor.start_libvirtd()
    if "launcher" in dies_with:
        pod.start()
    state = await pod.phase(ENDED)
    assert (state.end, state.message) == (state_pb2.MACHINE_END_CRASHED, "the hypervisor process died")
    assert pod.hypervisor.calls.count("create_standing") == 1


@pytest.mark.parametrize("seconds", [0, 3, 30])
async def test_a_qemu_that_a_new_libvirtd_misses_without_an_event_has_crashed(pod: LauncherPod, seconds: int) -> None:
    await pod.start_machine()
    pod.hypervisor.stop_libvirtd()
    await asyncio.sleep(1)
    pod.hypervisor.start_libvirtd()
    await asyncio.sleep(seconds)
    pod.hypervisor.miss_qemu()
    async with asyncio.timeout(60):
        assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_CRASHED


async def test_a_guest_that_shut_down_before_libvirtd_restarted_has_ended_and_is_not_started_again(
    pod: LauncherPod,
) -> None:
    await pod.start_machine()
    await pod.kill()
    pod.hypervisor.power_off()
    pod.hypervisor.stop_libvirtd()
    pod.hypervisor.start_libvirtd()
    pod.start()
    assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_CRASHED
    assert pod.hypervisor.lives == 1


async def test_a_panicked_guest_has_ended_and_its_qemu_is_destroyed(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.panic()
    assert (await pod.phase(ENDED)).end == state_pb2.MACHINE_END_PANICKED
    await asyncio.sleep(1)
    assert not pod.hypervisor.has_qemu


async def test_a_short_absence_of_libvirtd_is_not_reported_and_a_long_one_is(pod: LauncherPod) -> None:
    await pod.start_machine()
    revision = pod.keeper.published.revision
    pod.hypervisor.stop_libvirtd()
    await asyncio.sleep(pod.settings.hiccup - 1)
    assert pod.keeper.published.revision == revision
    await asyncio.sleep(2)
    assert (pod.state.phase, pod.state.message) == (UNKNOWN, "libvirtd does not answer")
    pod.hypervisor.start_libvirtd()
    assert (await pod.phase(RUNNING)).message == ""


async def test_a_call_that_hangs_is_made_again(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.hanging.add("observe")
    async with asyncio.timeout(LONGEST_ANSWER):
        with pytest.raises(Unavailable, match="libvirtd took longer than 10 s; nothing was done, try again later"):
            await pod.command(reset=RESET)
    assert pod.state.phase == UNKNOWN
    pod.hypervisor.hanging.clear()
    await pod.phase(RUNNING)
    assert pod.hypervisor.resets == 0, "its caller got an error"


async def test_a_command_to_a_libvirtd_that_is_away_for_long_is_refused_and_not_done_later(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.stop_libvirtd()
    for longest in (pod.settings.hiccup + 1, 1):  # the second one comes when the absence is known
        async with asyncio.timeout(longest):
            with pytest.raises(Unavailable, match="no connection to libvirtd; nothing was done, try again later"):
                await pod.command(reset=RESET)
    pod.hypervisor.start_libvirtd()
    await pod.phase(RUNNING)
    await asyncio.sleep(60)
    assert pod.hypervisor.resets == 0


async def test_a_machine_that_is_refused_has_ended_with_the_reason(pod: LauncherPod) -> None:
    pod.hypervisor.refusals["create_standing"] = "unsupported configuration: no such machine type"
    state = await pod.start_machine()
    assert (state.end, state.message) == (
        state_pb2.MACHINE_END_START_FAILED,
        "unsupported configuration: no such machine type",
    )
    pod.hypervisor.refusals.clear()
    await pod.restart()
    await asyncio.sleep(60)
    assert pod.hypervisor.calls.count("create_standing") == 1


@pytest.mark.parametrize("then", ["nothing", "restart"])
async def test_a_refused_pause_is_reported_and_not_repeated(pod: LauncherPod, then: str) -> None:
    await pod.start_machine()
    pod.hypervisor.refusals["stop_cpus"] = "Timed out during operation: cannot acquire state change lock"
    with pytest.raises(Refused, match="state change lock"):
        await pod.command(pause=PAUSE)
    pod.hypervisor.refusals.clear()
    if then == "restart":
        await pod.restart()
    await asyncio.sleep(60)
    assert pod.hypervisor.calls.count("stop_cpus") == 1
    assert (pod.state.phase, pod.hypervisor.phase) == (RUNNING, DomainPhase.RUNNING)


async def test_a_refused_unpause_leaves_the_guest_paused(pod: LauncherPod) -> None:
    await pod.start_machine()
    await pod.command(pause=PAUSE)
    pod.hypervisor.refusals["start_cpus"] = "Timed out during operation: cannot acquire state change lock"
    with pytest.raises(Refused, match="state change lock"):
        await pod.command(unpause=UNPAUSE)
    pod.hypervisor.refusals.clear()
    await asyncio.sleep(60)
    assert (pod.state.phase, pod.hypervisor.phase) == (PAUSED, DomainPhase.STANDING)
    assert (await pod.command(unpause=UNPAUSE)).phase == RUNNING


async def test_commands_need_a_guest_that_runs_and_is_not_being_stopped(pod: LauncherPod) -> None:
    pod.hypervisor.hanging.add("create_standing")
    pod.keeper.accept(machine())
    with pytest.raises(Refused, match="does not run"):
        await pod.command(pause=PAUSE)
    pod.hypervisor.hanging.clear()
    await pod.phase(RUNNING)
    pod.keeper.request_stop(60)
    with pytest.raises(Refused, match="is being stopped"):
        await pod.command(pause=PAUSE)


async def test_a_command_of_a_caller_that_gave_up_is_not_done(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.stop_libvirtd()
    await asyncio.sleep(1)
    waiting = asyncio.create_task(pod.command(reset=RESET))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    pod.hypervisor.start_libvirtd()
    await asyncio.sleep(60)
    assert pod.hypervisor.resets == 0


async def test_a_command_waits_for_libvirtd_and_is_done_once(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.stop_libvirtd()
    await asyncio.sleep(1)
    waiting = asyncio.create_task(pod.command(reset=RESET))
    await asyncio.sleep(1)
    pod.hypervisor.start_libvirtd()
    assert (await waiting).phase == RUNNING
    assert pod.hypervisor.resets == 1


async def test_a_guest_that_stalls_is_reported_with_its_disk_and_continues_on_command(pod: LauncherPod) -> None:
    await pod.start_machine()
    pod.hypervisor.stall_on(DiskError("vda", no_space=True))
    state = await pod.phase(PAUSED)
    assert (state.pause_reason, state.message) == (
        state_pb2.PAUSE_REASON_IO_ERROR,
        "disk vda: there is no space left where it is stored",
    )
    assert (await pod.command(unpause=UNPAUSE)).phase == RUNNING
    pod.hypervisor.hanging.add("disk_errors")
    pod.hypervisor.stall_on(DiskError("vda", no_space=True))
    assert (await pod.phase(PAUSED)).message == "QEMU could not read or write a disk and stopped the guest"
    assert pod.hypervisor.calls.count("disk_errors") == 2


async def test_a_paused_guest_stays_paused_when_everything_restarts(pod: LauncherPod) -> None:
    await pod.start_machine()
    assert (await pod.command(pause=PAUSE)).phase == PAUSED
    await pod.kill()
    pod.hypervisor.stop_libvirtd()
    pod.start()
    await asyncio.sleep(1)
    pod.hypervisor.start_libvirtd()
    assert (await pod.phase(PAUSED)).pause_reason == state_pb2.PAUSE_REASON_BY_USER
    assert (await pod.command(unpause=UNPAUSE)).phase == RUNNING


async def test_the_launcher_exits_when_the_end_that_happened_is_acknowledged(pod: LauncherPod) -> None:
    await pod.start_machine()
    with pytest.raises(Refused, match="has not ended"):
        await pod.acknowledge(state_pb2.MACHINE_END_SHUTDOWN)
    pod.hypervisor.power_off()
    await pod.phase(ENDED)
    with pytest.raises(Refused, match="ended as MACHINE_END_SHUTDOWN"):
        await pod.acknowledge(state_pb2.MACHINE_END_CRASHED)
    await pod.restart()
    assert not pod.finished.is_set()
    await pod.acknowledge(state_pb2.MACHINE_END_SHUTDOWN)
    assert pod.finished.is_set()


async def test_a_start_that_libvirtds_successor_ends_without_an_event_is_made_again(pod: LauncherPod) -> None:
    pod.hypervisor.hanging.add("create_standing")
    pod.keeper.accept(machine())
    await asyncio.sleep(1)
    pod.hypervisor.hanging.clear()
    await pod.kill()
    pod.hypervisor.interrupt_start()
    pod.start()
    await asyncio.sleep(2)
    assert pod.state.phase == STARTING
    pod.hypervisor.end_interrupted_start()
    await pod.phase(RUNNING)
    assert (pod.hypervisor.phase, pod.hypervisor.lives) == (DomainPhase.RUNNING, 1)


async def test_a_launcher_without_an_event_asks_the_hypervisor_nothing(pod: LauncherPod) -> None:
    await pod.start_machine()
    await asyncio.sleep(1)
    before = len(pod.hypervisor.calls)
    await asyncio.sleep(24 * 3600)
    assert len(pod.hypervisor.calls) == before

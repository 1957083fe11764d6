"""The guest's agent: it comes and goes, refuses and hangs, and what was frozen thaws whoever dies."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from kubevirt.launcher.v1 import command_pb2, launcher_pb2, state_pb2
from virt_core.rpc.errors import Refused
from virt_launcher.errors import AgentRefused, AgentUnavailable

from tests.support.hypervisor.fake_host import FakeAgent
from tests.unit.launcher.launcher_pod import LauncherPod

RUNNING = state_pb2.MACHINE_PHASE_RUNNING
FREEZE, UNFREEZE = command_pb2.Freeze(), command_pb2.Unfreeze()
SHORT = command_pb2.Freeze(unfreeze_after=Duration(seconds=20))
DEATHS = [(call, after) for call in range(6) for after in (False, True)]


async def started(pod: LauncherPod) -> FakeAgent:
    """The agent of a guest that runs; returns when it is reported."""
    await pod.start_machine()
    agent = pod.hypervisor.start_agent()
    await asyncio.sleep(1)
    assert pod.state.agent.hostname == "demo"
    return agent


async def test_an_agent_is_reported_while_the_guest_runs_it(pod: LauncherPod) -> None:
    await pod.start_machine()
    assert not pod.state.HasField("agent")
    await started(pod)
    assert (pod.state.agent.version, pod.state.agent.os.id) == ("7.2", "debian")
    pod.hypervisor.stop_agent()
    await asyncio.sleep(1)
    assert not pod.state.HasField("agent")
    with pytest.raises(AgentUnavailable):
        await pod.agent.details()


async def test_the_next_process_reports_the_agent_that_is_there(pod: LauncherPod) -> None:
    await started(pod)
    await pod.restart()
    await asyncio.sleep(1)
    assert pod.state.agent.hostname == "demo"


async def test_an_agent_that_does_not_listen_yet_is_retried(pod: LauncherPod) -> None:
    await pod.start_machine()
    agent = pod.hypervisor.start_agent()
    agent.hangs = True
    await asyncio.sleep(5)
    assert not pod.state.HasField("agent")
    agent.hangs = False
    await asyncio.sleep(20)
    assert pod.state.HasField("agent")


async def test_what_the_guest_changes_is_reported_after_a_minute(pod: LauncherPod) -> None:
    agent = await started(pod)
    agent.answers["guest-get-host-name"] = {"host-name": "renamed"}
    await asyncio.sleep(2 * pod.settings.agent_interval)
    assert pod.state.agent.hostname == "renamed"


async def test_an_agent_that_refuses_all_but_its_version_is_reported_with_that(pod: LauncherPod) -> None:
    await pod.start_machine()
    agent = pod.hypervisor.start_agent()
    agent.answers = {"guest-info": {"version": "1.0"}}
    agent.refuses = {"guest-fsfreeze-status"}
    await asyncio.sleep(1)
    assert (pod.state.agent.version, pod.state.agent.hostname) == ("1.0", "")
    details: launcher_pb2.GetGuestDetailsResponse = await pod.agent.details()
    assert not details.users


async def test_frozen_file_systems_thaw_on_command(pod: LauncherPod) -> None:
    agent = await started(pod)
    for _ in range(2):
        assert (await pod.command(freeze=FREEZE)).phase == RUNNING
        assert agent.frozen
        await asyncio.sleep(1)
        assert pod.state.agent.filesystems_frozen
    assert agent.commands.count("guest-fsfreeze-freeze") == 1
    await pod.command(unfreeze=UNFREEZE)
    assert not agent.frozen
    assert pod.record.thaw_at is None
    await asyncio.sleep(600)
    assert agent.commands.count("guest-fsfreeze-thaw") == 1


async def test_frozen_file_systems_thaw_by_themselves_after_five_minutes(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=FREEZE)
    await asyncio.sleep(299)
    assert agent.frozen
    await asyncio.sleep(2)
    assert not agent.frozen
    assert not pod.state.agent.filesystems_frozen


async def test_the_time_of_the_last_freeze_counts(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=FREEZE)
    await pod.command(freeze=SHORT)
    await asyncio.sleep(21)
    assert not agent.frozen


async def test_what_a_freeze_without_a_response_has_frozen_thaws_in_time(pod: LauncherPod) -> None:
    agent = await started(pod)
    agent.silent_after.add("guest-fsfreeze-freeze")
    with pytest.raises(Refused, match="no guest agent answers"):
        await pod.command(freeze=SHORT)
    assert agent.frozen
    await asyncio.sleep(21)
    assert not agent.frozen


async def test_a_libvirtd_that_hangs_at_a_poll_of_the_agent_delays_no_thaw(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=SHORT)
    pod.hypervisor.hanging.add("is_connected")
    pod.hypervisor.notify()
    await asyncio.sleep(11)
    pod.hypervisor.hanging.clear()
    await asyncio.sleep(10)
    assert not agent.frozen


@pytest.mark.parametrize(("call", "after"), DEATHS)
async def test_nothing_stays_frozen_at_whatever_call_of_a_freeze_the_launcher_dies(
    pod: LauncherPod, call: int, after: bool
) -> None:
    agent = await started(pod)
    pod.die_at(call, after_effect=after)
    freezing = asyncio.create_task(pod.command(freeze=FREEZE))
    await asyncio.sleep(400)
    freezing.cancel()
    assert not agent.frozen
    assert pod.record.thaw_at is None


async def test_a_thaw_that_is_refused_is_repeated_until_it_is_done(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=FREEZE)
    agent.refuses.add("guest-fsfreeze-thaw")
    with pytest.raises(Refused, match="refuses"):
        await pod.command(unfreeze=UNFREEZE)
    await asyncio.sleep(400)
    assert agent.frozen
    agent.refuses.clear()
    await asyncio.sleep(10)
    assert not agent.frozen


async def test_a_guest_without_file_systems_to_freeze_is_not_thawed_later(pod: LauncherPod) -> None:
    agent = await started(pod)
    agent.freezable = False
    await pod.command(freeze=FREEZE)
    assert pod.record.thaw_at is None
    await asyncio.sleep(600)
    assert "guest-fsfreeze-thaw" not in agent.commands


async def test_a_freeze_that_is_refused_leaves_nothing_to_thaw(pod: LauncherPod) -> None:
    agent = await started(pod)
    agent.refuses.add("guest-fsfreeze-freeze")
    with pytest.raises(AgentRefused):
        await pod.agent.freeze(0)
    assert pod.record.thaw_at is None


async def test_a_frozen_guest_is_reported_as_it_was_before(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=FREEZE)
    agent.refuses.add("guest-get-host-name")
    await asyncio.sleep(2 * pod.settings.agent_interval)
    assert (pod.state.agent.hostname, pod.state.agent.filesystems_frozen) == ("demo", True)


async def test_an_agent_that_hangs_delays_no_command_for_the_hypervisor(pod: LauncherPod) -> None:
    agent = await started(pod)
    pod.hypervisor.hanging.add("ask")
    asking = asyncio.create_task(pod.agent.details())
    await asyncio.sleep(1)
    async with asyncio.timeout(1):
        await pod.command(pause=command_pb2.Pause())
    assert not asking.done()
    with pytest.raises(AgentUnavailable):
        await asking
    assert agent.commands


async def test_an_agent_reboots_the_guest_and_without_one_the_hypervisor_does(pod: LauncherPod) -> None:
    await started(pod)
    await pod.command(soft_reboot=command_pb2.SoftReboot())
    assert "press_reboot_button" not in pod.hypervisor.calls
    pod.hypervisor.stop_agent()
    await pod.command(soft_reboot=command_pb2.SoftReboot())
    assert "press_reboot_button" in pod.hypervisor.calls
    assert pod.hypervisor.resets == 2


async def test_an_agent_is_forgotten_with_its_guest(pod: LauncherPod) -> None:
    await started(pod)
    pod.hypervisor.power_off()
    await pod.phase(state_pb2.MACHINE_PHASE_ENDED)
    assert not pod.state.HasField("agent")
    with pytest.raises(Refused, match="does not run"):
        await pod.command(freeze=FREEZE)


async def test_libvirtd_may_restart_while_file_systems_are_frozen(pod: LauncherPod) -> None:
    agent = await started(pod)
    await pod.command(freeze=FREEZE)
    pod.hypervisor.stop_libvirtd()
    await asyncio.sleep(310)
    assert agent.frozen
    pod.hypervisor.start_libvirtd()
    await asyncio.sleep(10)
    assert not agent.frozen

"""Debian's own guest agent in the guest: its reports, requests to it, and an agent that hangs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from kubevirt.launcher.v1 import command_pb2, guest_pb2, launcher_pb2, state_pb2
from virt_core.rpc.errors import Refused

from tests.integration.launcher.agent_guest import start_agent, start_with_agent
from tests.integration.launcher.pod import GUEST_ADDRESS, MAC

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

PROBE, FREEZER = "/usr/lib/kubevirt/virt-probe", "/usr/bin/virt-freezer"


async def details(pod: Pod) -> launcher_pb2.GetGuestDetailsResponse:
    """GetGuestDetails as the handler calls it."""
    request = launcher_pb2.GetGuestDetailsRequest(machine_uid=pod.uid)
    response: launcher_pb2.GetGuestDetailsResponse = await pod.peer.call(pod.stub.GetGuestDetails, request, timeout=120)
    return response


def settled(agent: guest_pb2.GuestAgent) -> guest_pb2.GuestAgent:
    """Without link-local addresses, which the guest's kernel gives its cards a moment after they are up."""
    result = guest_pb2.GuestAgent()
    result.CopyFrom(agent)
    for interface in result.interfaces:
        kept = [address for address in interface.addresses if not address.startswith("fe80:")]
        del interface.addresses[:]
        interface.addresses.extend(kept)
    return result


async def test_reports_of_the_agent_are_published_and_published_again_by_the_next_launcher(pod: Pod) -> None:
    await start_with_agent(pod)
    agent = (await pod.wait_for_state(lambda state: state.HasField("agent"))).agent
    assert agent.version.count(".") >= 1
    assert (agent.hostname, agent.os.id, agent.os.machine) == ("demo", "debian", "x86_64")
    assert [(interface.mac_address, GUEST_ADDRESS in interface.addresses) for interface in agent.interfaces] == [
        (MAC, True)
    ]
    assert not agent.filesystems_frozen
    await pod.kill("launcher")
    assert settled((await pod.wait_for_state(lambda state: state.HasField("agent"))).agent) == settled(agent)
    found = await details(pod)
    assert settled(found.agent) == settled(agent)
    assert found.timezone == "UTC, 0"
    assert {command.name for command in found.commands if command.enabled} >= {"guest-ping", "guest-fsfreeze-freeze"}
    await pod.type(b"kill $(cat /tmp/agent.pid)\n")
    await pod.wait_for_state(lambda state: not state.HasField("agent"))
    with pytest.raises(Refused) as refused:
        await details(pod)
    assert refused.value.reason == "NO_GUEST_AGENT"


async def test_frozen_file_systems_thaw_on_command_or_by_themselves_though_the_launcher_dies(pod: Pod) -> None:
    await start_with_agent(pod)
    await pod.command(freeze=command_pb2.Freeze())
    await pod.wait_for_state(lambda state: state.HasField("agent") and not state.agent.filesystems_frozen)
    assert not (pod.volumes["private"] / "thaw.binpb").exists(), "there was nothing to freeze"
    await pod.type(b"mkdir /mnt; mount -t ext4 /dev/vda /mnt && echo mo''unted\n")
    await pod.wait_for_console(b"mounted", b"\n")
    for _ in range(2):
        assert (await pod.command(freeze=command_pb2.Freeze())).phase == state_pb2.MACHINE_PHASE_RUNNING
        await pod.wait_for_state(lambda state: state.agent.filesystems_frozen)
    for _ in range(2):
        await pod.command(unfreeze=command_pb2.Unfreeze())
        await pod.wait_for_state(lambda state: state.HasField("agent") and not state.agent.filesystems_frozen)
    freeze = command_pb2.Freeze()
    freeze.unfreeze_after.FromSeconds(20)
    await pod.command(freeze=freeze)
    await pod.kill("launcher")
    await pod.wait_for_state(lambda state: state.agent.filesystems_frozen)
    await pod.wait_for_state(lambda state: state.HasField("agent") and not state.agent.filesystems_frozen)
    await pod.kill("launcher")
    await pod.wait_for_state(lambda state: state.HasField("agent"))
    assert pod.log.count("thawing the guest's file systems") == 3, "what is thawed is forgotten"


async def test_a_backup_tool_freezes_and_thaws_by_virt_freezer(pod: Pod) -> None:
    absent = pod.run_inside(FREEZER, "--freeze")
    assert (absent.returncode, absent.stderr) == (
        1,
        "virt-freezer: freezing failed: the launcher has no machine yet\n",
    )
    await start_with_agent(pod)
    await pod.type(b"mkdir /mnt; mount -t ext4 /dev/vda /mnt && echo mo''unted\n")
    await pod.wait_for_console(b"mounted", b"\n")
    named = ("--name", "demo", "--namespace", "default")
    frozen = pod.run_inside(FREEZER, "--freeze", *named)
    assert (frozen.returncode, frozen.stderr) == (0, "virt-freezer: frozen\n"), pod.log
    await pod.wait_for_state(lambda state: state.agent.filesystems_frozen)
    thawed = pod.run_inside(FREEZER, "--unfreeze", *named)
    assert (thawed.returncode, thawed.stderr) == (0, "virt-freezer: thawed\n"), pod.log
    assert pod.run_inside(FREEZER, "--freeze", "--unfreezeTimeoutSeconds", "12").returncode == 0
    await pod.wait_for_state(lambda state: state.agent.filesystems_frozen)
    await pod.wait_for_state(lambda state: state.HasField("agent") and not state.agent.filesystems_frozen)
    other = pod.run_inside(FREEZER, "--freeze", "--name", "other")
    assert (other.returncode, '"other" is not in this pod' in other.stderr) == (1, True)


async def test_agent_reboots_the_guest(pod: Pod) -> None:
    await start_with_agent(pod)
    qemu = pod.processes()["qemu"]
    assert (await pod.command(soft_reboot=command_pb2.SoftReboot())).phase == state_pb2.MACHINE_PHASE_RUNNING
    await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r")
    assert "requesting a reboot from the guest agent" in pod.log
    assert "requesting a reboot by ACPI" not in pod.log
    await pod.wait_for_state(lambda state: not state.HasField("agent"))
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    await start_agent(pod)
    assert pod.processes()["qemu"] == qemu


async def test_probe_detects_a_healthy_guest(pod: Pod) -> None:
    absent = pod.run_inside(PROBE, "guest-agent-ping")
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1), absent
    await start_with_agent(pod)
    ping = pod.run_inside(PROBE, "guest-agent-ping", "--timeout", "60")
    assert ping.returncode == 0, ping.stderr
    good = pod.run_inside(PROBE, "exec", "--timeout", "60", "--", "test", "-e", "/etc/os-release")
    assert good.returncode == 0, good.stderr
    bad = pod.run_inside(PROBE, "exec", "--timeout", "60", "--", "ls", "/nothing")
    assert (bad.returncode, "status 1: ls: /nothing: No such file" in bad.stderr) == (1, True), bad.stderr
    slow = pod.run_inside(PROBE, "exec", "--timeout", "2", "--", "sleep", "100")
    assert (slow.returncode, slow.stderr) == (1, "virt-probe: the command did not end within 2 s\n")
    assert pod.run_inside(PROBE, "ping").returncode == 64


async def test_agent_that_hangs_disturbs_nothing(pod: Pod) -> None:
    await start_with_agent(pod)
    await pod.type(b"kill -STOP $(cat /tmp/agent.pid); echo ha''nging\n")
    await pod.wait_for_console(b"hanging", b"\n")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_reason_of_refusal(pod), name="asking")
        meanwhile = 0
        while not asking.done() and meanwhile < 5:
            assert (await pod.command(pause=command_pb2.Pause())).phase == state_pb2.MACHINE_PHASE_PAUSED
            assert (await pod.command(unpause=command_pb2.Unpause())).phase == state_pb2.MACHINE_PHASE_RUNNING
            meanwhile += not asking.done()
        assert meanwhile, "a command waited for the agent"
    assert asking.result() == "NO_GUEST_AGENT"
    assert (await pod.command(soft_reboot=command_pb2.SoftReboot())).phase == state_pb2.MACHINE_PHASE_RUNNING
    await pod.wait_for_console(b"guest-demo: booted, boot=", b"\r")


async def _reason_of_refusal(pod: Pod) -> str:
    with pytest.raises(Refused) as refused:
        await details(pod)
    return refused.value.reason or ""

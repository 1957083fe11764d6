"""virt-freezer against a launcher that serves its socket, with the double of the hypervisor behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from kubevirt.info.v1 import info_pb2
from kubevirt.launcher.v1 import launcher_pb2_grpc
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import create_server
from virt_launcher import freezer
from virt_launcher.freezer import Call, Failed

from tests.support.hypervisor.fake_host import FakeAgent
from tests.unit.launcher.launcher_pod import LauncherPod

FREEZE = Call(freeze=True, name="demo", namespace="default", unfreeze_after=300)
UNFREEZE = replace(FREEZE, freeze=False)


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[LauncherPod]:
    """A launcher whose guest runs, on its socket. Not in virtual time, because of the socket."""
    made = LauncherPod(tmp_path)
    server = create_server(Identity.for_process(info_pb2.COMPONENT_LAUNCHER, ("kubevirt.launcher.v1",)))
    launcher_pb2_grpc.add_LauncherServiceServicer_to_server(made.servicer, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{tmp_path}/launcher-sock")
    made.settings = replace(made.settings, socket=tmp_path / "launcher-sock")
    await server.start()
    await made.start_machine()
    yield made
    await server.stop(None)
    await made.end()


async def with_agent(pod: LauncherPod) -> FakeAgent:
    agent = pod.hypervisor.start_agent()
    await pod.keeper.published.until(lambda state: state.HasField("agent"))
    return agent


async def test_file_systems_are_frozen_and_thawed_through_the_launcher(serving: LauncherPod) -> None:
    agent = await with_agent(serving)
    assert await freezer.run(FREEZE, serving.settings) == "frozen"
    assert agent.frozen
    assert serving.record.thaw_at is not None, "the launcher thaws by itself"
    assert await freezer.run(UNFREEZE, serving.settings) == "thawed"
    assert not agent.frozen
    assert serving.record.thaw_at is None


async def test_the_time_limit_is_the_launchers(serving: LauncherPod) -> None:
    agent = await with_agent(serving)
    await freezer.run(replace(FREEZE, unfreeze_after=1), serving.settings)
    await serving.keeper.published.until(lambda state: state.agent.filesystems_frozen)
    await serving.keeper.published.until(lambda state: not state.agent.filesystems_frozen)
    assert not agent.frozen


async def test_a_guest_without_an_agent_does_not_fail_a_backup(serving: LauncherPod) -> None:
    assert await freezer.run(FREEZE, serving.settings) == "No guest agent, exiting"


async def test_a_refusal_of_the_agent_fails_the_backup_with_its_reason(serving: LauncherPod) -> None:
    agent = await with_agent(serving)
    agent.refuses.add("guest-fsfreeze-freeze")
    with pytest.raises(Failed, match=r"the guest agent refuses: .*guest-fsfreeze-freeze"):
        await freezer.run(FREEZE, serving.settings)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (replace(FREEZE, name="other"), '--name: "other" is not in this pod, use "demo"'),
        (replace(FREEZE, namespace="other"), '--namespace: "other" is not in this pod, use "default"'),
        (replace(FREEZE, unfreeze_after=-1), "command.freeze.unfreeze_after"),
    ],
)
async def test_a_wrong_option_is_named_with_its_value(serving: LauncherPod, call: Call, reason: str) -> None:
    agent = await with_agent(serving)
    with pytest.raises(Failed) as failed:
        await freezer.run(call, serving.settings)
    assert reason in str(failed.value)
    assert not agent.frozen


async def test_without_a_machine_or_a_launcher_it_fails(serving: LauncherPod, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Failed, match="no machine yet"):
        await freezer.run(FREEZE, replace(serving.settings, state_folder=empty))
    with pytest.raises(Failed):
        await freezer.run(FREEZE, replace(serving.settings, socket=tmp_path / "absent"))


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["--freeze"], Call(True, "", "", 300)),
        (["--unfreeze", "--name", "n", "--namespace", "ns"], Call(False, "n", "ns", 300)),
        (["--freeze", "--name=n", "--namespace=ns", "--unfreezeTimeoutSeconds=60"], Call(True, "n", "ns", 60)),
        (["-f", "-n", "n", "-s", "ns", "-t", "0"], Call(True, "n", "ns", 0)),
    ],
)
def test_the_command_line_is_kubevirts(arguments: list[str], call: Call) -> None:
    assert freezer.parse(arguments) == call


@pytest.mark.parametrize("arguments", [[], ["--freeze", "--unfreeze"], ["--freeze", "-t", "x"], ["--freeze", "more"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        freezer.parse(arguments)
    assert ended.value.code == 2

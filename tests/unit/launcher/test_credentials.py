"""Credentials reach the guest through its agent, whatever dies or is late, and the state says what is missing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import cast

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_launcher.agent.secret_watch import watch_secrets
from virt_launcher.credentials.plan import MARK
from virt_launcher.credentials.secret_files import read_secret
from virt_launcher.errors import UnusableSecret
from virt_launcher.machine.keeper import Keeper
from virt_launcher.machine.record import Record
from virt_launcher.machine.status import state

from tests.samples.public_keys import KEY, OTHER
from tests.support.hypervisor.fake_host import FakeAgent
from tests.support.mounted_secret import MountedSecret
from tests.support.patience import PATIENCE
from tests.unit.launcher.launcher_pod import LauncherPod, machine

NO_AGENT = state_pb2.CREDENTIALS_PROGRESS_NO_AGENT
SYNCHRONIZED = state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED
REFUSED = state_pb2.CREDENTIALS_PROGRESS_REFUSED
UNUSABLE = state_pb2.CREDENTIALS_PROGRESS_UNUSABLE
MINE, FOREIGN = f"{KEY} {MARK}", "ssh-rsa foreign"


class Secrets:
    """The Secrets of a machine: keys of the users core and root, and passwords."""

    def __init__(self, folder: Path) -> None:
        self.keys = MountedSecret(folder / "keys", {"laptop": KEY})
        self.passwords = MountedSecret(folder / "passwords", {"root": "hunter2"})

    @property
    def machine(self) -> machine_pb2.Machine:
        users = machine_pb2.AuthorizedKeys(users=["core", "root"])
        return machine(
            access_credentials=[
                machine_pb2.AccessCredential(folder=self.keys.path, authorized_keys=users),
                machine_pb2.AccessCredential(folder=self.passwords.path, user_passwords=machine_pb2.UserPasswords()),
            ]
        )


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets(tmp_path_factory.mktemp("secrets"))


async def started(pod: LauncherPod, secrets: Secrets) -> FakeAgent:
    """The agent of a running guest; returns when every request is answered."""
    await pod.start_machine(secrets.machine)
    agent = pod.hypervisor.start_agent()
    await asyncio.sleep(1)
    return agent


async def test_the_guest_gets_keys_and_passwords_when_its_agent_connects(pod: LauncherPod, secrets: Secrets) -> None:
    await pod.start_machine(secrets.machine)
    assert pod.state.credentials.progress == NO_AGENT
    assert pod.state.credentials.message == "the guest agent is not connected"
    agent = pod.hypervisor.start_agent()
    await asyncio.sleep(1)
    assert agent.keys == {"core": [MINE], "root": [MINE]}
    assert agent.passwords == [("root", "hunter2")]
    assert (pod.state.credentials.progress, pod.state.credentials.message) == (SYNCHRONIZED, "")


async def test_a_machine_without_credentials_asks_the_agent_for_nothing(pod: LauncherPod) -> None:
    await pod.start_machine()
    agent = pod.hypervisor.start_agent()
    await asyncio.sleep(200)
    assert not [command for command in agent.commands if "ssh" in command or "password" in command]
    assert not pod.state.HasField("credentials")


async def test_what_is_synchronized_is_not_sent_again(pod: LauncherPod, secrets: Secrets) -> None:
    agent = await started(pod, secrets)
    count = len([command for command in agent.commands if "ssh" in command])
    await asyncio.sleep(3600)
    assert len([command for command in agent.commands if "ssh" in command]) == count


async def test_a_changed_secret_replaces_its_own_keys_and_leaves_those_of_others(
    pod: LauncherPod, secrets: Secrets
) -> None:
    agent = await started(pod, secrets)
    agent.keys["core"].append(FOREIGN)
    secrets.keys.write({"desktop": OTHER})
    pod.agent.secret_changed()
    await asyncio.sleep(1)
    assert agent.keys == {"core": [FOREIGN, f"{OTHER} {MARK}"], "root": [f"{OTHER} {MARK}"]}
    secrets.keys.write({})
    pod.agent.secret_changed()
    await asyncio.sleep(1)
    assert agent.keys == {"core": [FOREIGN], "root": []}
    assert agent.passwords == [("root", "hunter2")], "the guest's own change of a password stays"
    assert pod.state.credentials.progress == SYNCHRONIZED


async def test_a_key_removed_while_no_guest_ran_is_removed_by_the_next_launcher(
    pod: LauncherPod, secrets: Secrets
) -> None:
    await pod.start_machine(secrets.machine)
    agent = pod.hypervisor.start_agent()
    agent.keys = {"core": [f"{OTHER} {MARK}", FOREIGN], "root": []}
    await asyncio.sleep(1)
    assert agent.keys == {"core": [FOREIGN, MINE], "root": [MINE]}


async def test_a_user_without_keys_and_without_a_file_is_synchronized(pod: LauncherPod, secrets: Secrets) -> None:
    secrets.keys.write({})
    agent = await started(pod, secrets)
    assert agent.keys == {}
    assert pod.state.credentials.progress == SYNCHRONIZED


async def test_a_changed_password_is_set(pod: LauncherPod, secrets: Secrets) -> None:
    agent = await started(pod, secrets)
    secrets.passwords.write({"root": "hunter3", "core": "new"})
    pod.agent.secret_changed()
    await asyncio.sleep(1)
    assert agent.passwords == [("root", "hunter2"), ("core", "new"), ("root", "hunter3")]


async def test_the_next_agent_and_the_next_launcher_get_everything_again(pod: LauncherPod, secrets: Secrets) -> None:
    await started(pod, secrets)
    pod.hypervisor.stop_agent()
    await asyncio.sleep(1)
    assert pod.state.credentials.progress == NO_AGENT
    again = pod.hypervisor.start_agent()
    await asyncio.sleep(1)
    assert (again.keys["core"], again.passwords) == ([MINE], [("root", "hunter2")])
    await pod.restart()
    await asyncio.sleep(1)
    assert (again.keys["core"], again.passwords) == ([MINE], [("root", "hunter2")] * 2)
    assert pod.state.credentials.progress == SYNCHRONIZED


async def test_a_refusal_is_reported_by_user_and_tried_again_with_growing_delays(
    pod: LauncherPod, secrets: Secrets
) -> None:
    await pod.start_machine(secrets.machine)
    agent = pod.hypervisor.start_agent()
    agent.refuses = {"guest-ssh-add-authorized-keys"}
    await asyncio.sleep(1)
    assert agent.passwords == [("root", "hunter2")], "the rest is set"
    reported = pod.state.credentials
    assert reported.progress == REFUSED
    assert reported.message.startswith("user core: internal error: unable to execute QEMU agent command")
    await asyncio.sleep(3600)
    assert 14 < agent.commands.count("guest-ssh-add-authorized-keys") // 2 < 20
    agent.refuses.clear()
    await asyncio.sleep(301)
    assert agent.keys["core"] == [MINE]
    assert pod.state.credentials.progress == SYNCHRONIZED
    assert len(agent.passwords) == 1


async def test_an_agent_that_hangs_is_waited_for(pod: LauncherPod, secrets: Secrets) -> None:
    agent = await started(pod, secrets)
    agent.hangs = True
    secrets.keys.write({"desktop": OTHER})
    pod.agent.secret_changed()
    await asyncio.sleep(30)
    assert pod.state.credentials.progress == NO_AGENT
    assert pod.state.credentials.message.startswith("the guest agent does not answer")
    agent.hangs = False
    await asyncio.sleep(301)
    assert agent.keys["core"] == [f"{OTHER} {MARK}"]
    assert pod.state.credentials.progress == SYNCHRONIZED


async def test_what_is_no_key_is_reported_until_the_secret_changes_and_the_rest_is_set(
    pod: LauncherPod, secrets: Secrets
) -> None:
    secrets.keys.write({"good": KEY, "bad": "-----BEGIN OPENSSH PRIVATE KEY-----"})
    agent = await started(pod, secrets)
    assert agent.keys["core"] == [MINE]
    bad = f"line 1 of {secrets.keys.path}/bad is not a public key"
    assert (pod.state.credentials.progress, pod.state.credentials.message) == (UNUSABLE, bad)
    secrets.keys.write({"good": KEY})
    pod.agent.secret_changed()
    await asyncio.sleep(1)
    assert pod.state.credentials.progress == SYNCHRONIZED


async def test_no_content_of_a_secret_is_logged_or_reported(
    pod: LauncherPod, secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    agent = await started(pod, secrets)
    agent.refuses = {"guest-set-user-password", "guest-ssh-add-authorized-keys"}
    secrets.passwords.write({"root": "hunter3"})
    pod.agent.secret_changed()
    await asyncio.sleep(60)
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records) + str(pod.state)
    assert "setting credentials in the guest" in logged
    assert "hunter" not in logged and KEY.split()[1] not in logged


@pytest.mark.parametrize("call", range(12))
async def test_the_guest_gets_everything_at_whatever_call_the_launcher_dies(
    pod: LauncherPod, secrets: Secrets, call: int
) -> None:
    await pod.start_machine(secrets.machine)
    pod.die_at(call, after_effect=bool(call % 2))
    agent = pod.hypervisor.start_agent()
    await asyncio.sleep(60)
    assert agent.keys == {"core": [MINE], "root": [MINE]}
    assert agent.passwords[-1] == ("root", "hunter2")
    assert pod.state.credentials.progress == SYNCHRONIZED


def test_the_first_state_of_a_launcher_says_that_credentials_are_missing(secrets: Secrets) -> None:
    assert state(Record(secrets.machine), None).credentials.progress == NO_AGENT


def test_a_secret_is_read_as_the_kubelet_mounts_it(tmp_path: Path) -> None:
    secret = MountedSecret(tmp_path / "s", {"a": "1", "b": "2"})
    assert read_secret(secret.path) == {"a": b"1", "b": b"2"}
    secret.write({"c": "3"})
    assert read_secret(secret.path) == {"c": b"3"}


def test_a_secret_that_cannot_be_read_or_is_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableSecret, match=f"{tmp_path}/none cannot be read: No such file or directory"):
        read_secret(f"{tmp_path}/none")
    secret = MountedSecret(tmp_path / "s", {"a": "x" * (1 << 19), "b": "y" * (1 << 20)})
    with pytest.raises(UnusableSecret, match="more than 1048576 bytes"):
        read_secret(secret.path)


class OneMachine:
    """What the watch needs of the machine's keeper."""

    def __init__(self, wanted: machine_pb2.Machine) -> None:
        self.known, self.record = asyncio.Event(), Record(wanted)
        self.known.set()


async def test_a_change_of_a_secret_is_noticed_at_once(secrets: Secrets) -> None:
    changes: asyncio.Queue[None] = asyncio.Queue()
    keeper = cast(Keeper, OneMachine(secrets.machine))
    watching = asyncio.create_task(watch_secrets(keeper, lambda: changes.put_nowait(None)))
    async with asyncio.timeout(PATIENCE):
        await changes.get()
        for secret in (secrets.keys, secrets.passwords):
            secret.write({"a": "changed"})
            await changes.get()
    watching.cancel()


async def test_secrets_that_cannot_be_watched_are_read_every_minute(pod: LauncherPod, secrets: Secrets) -> None:
    wanted = secrets.machine
    wanted.access_credentials[0].folder += "/none"
    changes: list[float] = []
    loop = asyncio.get_running_loop()
    watching = asyncio.create_task(watch_secrets(cast(Keeper, OneMachine(wanted)), lambda: changes.append(loop.time())))
    await asyncio.sleep(150)
    watching.cancel()
    assert len(changes) == 2


async def test_a_machine_without_credentials_watches_nothing() -> None:
    async with asyncio.timeout(PATIENCE):
        await watch_secrets(cast(Keeper, OneMachine(machine())), lambda: None)

"""Debian's own guest agent sets keys and passwords of mounted Secrets, and no log says what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_launcher.credentials.plan import MARK

from tests.integration.launcher.agent_guest import start_agent, start_guest
from tests.integration.launcher.images import Images
from tests.integration.launcher.pod import PRIVATE, Pod
from tests.samples.public_keys import KEY, OTHER
from tests.support.mounted_secret import MountedSecret

SYNCHRONIZED = state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED
NO_AGENT = state_pb2.CREDENTIALS_PROGRESS_NO_AGENT
REFUSED = state_pb2.CREDENTIALS_PROGRESS_REFUSED
EVERYTHING = "3:qemu.qemu_agent 3:libvirt-qemu 3:rpc 3:remote 3:util.json 1:*"  # as virt_core/vmi/log_settings.py
PASSWORD = "correct horse battery"
KEYS_FILE = b"/root/.ssh/authorized_keys"
# What the guest lacks: a user with a home, and a chpasswd, which the agent runs.
USERS = (
    b"mkdir -p /root /etc; echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; "
    b"printf '#!/bin/sh\\ncat >>/tmp/chpasswd\\n' >/bin/chpasswd; chmod 755 /bin/chpasswd; echo re''ady\n"
)


@pytest.fixture
async def pod(images: Images) -> AsyncIterator[Pod]:
    """A pod whose libvirtd logs all that it may, and whose launcher has no machine yet."""
    environment = [*images.environment, f"VIRT_LAUNCHER_LIBVIRT_LOG_FILTERS={EVERYTHING}"]
    environment.append("VIRT_LAUNCHER_LOG_VERBOSITY=9")
    made = Pod(replace(images, environment=environment))
    try:
        await made.bring_up()
        yield made
    finally:
        await made.remove()


def secret(pod: Pod, name: str, values: dict[str, str]) -> MountedSecret:
    """A Secret in the launcher's container."""
    return MountedSecret(pod.volumes["private"] / name, values, path=f"{PRIVATE}/{name}")


def keys(secret: MountedSecret, *users: str) -> machine_pb2.AccessCredential:
    return machine_pb2.AccessCredential(folder=secret.path, authorized_keys=machine_pb2.AuthorizedKeys(users=users))


def passwords(secret: MountedSecret) -> machine_pb2.AccessCredential:
    return machine_pb2.AccessCredential(folder=secret.path, user_passwords=machine_pb2.UserPasswords())


async def output(pod: Pod, command: bytes) -> str:
    """What a command prints in the guest."""
    await pod.type(b'echo "<""$(%s)"">"\n' % command)
    return (await pod.wait_for_console(b"\n<", b">")).decode().replace("\r\n", "\n")


async def until(pod: Pod, condition: bytes) -> None:
    """Wait in the guest."""
    await pod.type(b"until %s; do sleep 0.1; done; echo wai''ted\n" % condition)
    await pod.wait_for_console(b"\nwaited", b"\n")


async def synchronized(pod: Pod) -> None:
    await pod.wait_for_state(lambda state: state.credentials.progress == SYNCHRONIZED)


async def test_keys_and_passwords_follow_their_secrets_and_no_log_shows_them(pod: Pod) -> None:
    team, own = secret(pod, "team", {"a": KEY}), secret(pod, "own", {"root": PASSWORD})
    await start_guest(pod, access_credentials=[keys(team, "root"), passwords(own)])
    await pod.wait_for_state(lambda state: state.credentials.progress == NO_AGENT)
    await pod.type(USERS)
    await pod.wait_for_console(b"ready", b"\n")
    await pod.type(b"mkdir /root/.ssh; echo ssh-rsa AAAA foreign >%s\n" % KEYS_FILE)
    await start_agent(pod)
    await synchronized(pod)
    assert await output(pod, b"grep . " + KEYS_FILE) == f"ssh-rsa AAAA foreign\n{KEY} {MARK}"
    assert await output(pod, b"stat -c %a:%u " + KEYS_FILE) == "600:0"
    assert await output(pod, b"cat /tmp/chpasswd") == f"root:{PASSWORD}"
    team.write({"b": OTHER})
    await until(pod, b"grep -q ecdsa %s && ! grep -q laptop %s" % (KEYS_FILE, KEYS_FILE))
    assert await output(pod, b"grep . " + KEYS_FILE) == f"ssh-rsa AAAA foreign\n{OTHER} {MARK}"
    team.write({})
    await until(pod, b"! grep -q ecdsa " + KEYS_FILE)
    assert await output(pod, b"grep . " + KEYS_FILE) == "ssh-rsa AAAA foreign"
    own.write({"root": "another one"})
    await until(pod, b"grep -q another /tmp/chpasswd")
    await synchronized(pod)
    shown = pod.log
    assert "setting credentials in the guest" in shown and "virDomainQemuAgentCommand" not in shown
    for hidden in (PASSWORD, "another one", KEY.split()[1], OTHER.split()[1]):
        assert hidden not in shown


async def test_a_launcher_or_agent_that_starts_again_sets_all_again(pod: Pod) -> None:
    team, own = secret(pod, "team", {"a": KEY}), secret(pod, "own", {"root": PASSWORD})
    await start_guest(pod, access_credentials=[keys(team, "root"), passwords(own)])
    await pod.type(USERS)
    await pod.wait_for_console(b"ready", b"\n")
    await start_agent(pod)
    await synchronized(pod)
    await pod.type(b"rm %s /tmp/chpasswd; echo remo''ved\n" % KEYS_FILE)
    await pod.wait_for_console(b"removed", b"\n")
    await pod.kill("launcher")
    await until(pod, b"grep -q laptop %s && grep -q horse /tmp/chpasswd" % KEYS_FILE)
    await synchronized(pod)
    await pod.type(b"rm %s; kill $(cat /tmp/agent.pid)\n" % KEYS_FILE)
    await pod.wait_for_state(lambda state: state.credentials.progress == NO_AGENT)
    await start_agent(pod)
    await until(pod, b"grep -q laptop " + KEYS_FILE)
    await synchronized(pod)


async def test_a_user_that_is_created_later_gets_keys_then(pod: Pod) -> None:
    await start_guest(pod, access_credentials=[keys(secret(pod, "team", {"a": KEY}), "root", "late")])
    await pod.type(USERS)
    await pod.wait_for_console(b"ready", b"\n")
    await start_agent(pod)
    state = await pod.wait_for_state(lambda state: state.credentials.progress == REFUSED)
    assert state.credentials.message.startswith("user late: ") and "late" in state.credentials.message[11:]
    assert await output(pod, b"grep . " + KEYS_FILE) == f"{KEY} {MARK}"
    await pod.type(b"mkdir -p /home/late; echo late:x:7:7::/home/late:/bin/sh >>/etc/passwd\n")
    await synchronized(pod)
    assert await output(pod, b"cat /home/late/.ssh/authorized_keys") == f"{KEY} {MARK}"
    assert await output(pod, b"stat -c %u:%g /home/late/.ssh") == "7:7"


async def test_cloud_init_gets_public_keys_in_its_metadata(pod: Pod) -> None:
    machine = pod.machine()
    machine.disks.add(
        name="seed",
        device=machine_pb2.DISK_DEVICE_DISK,
        bus=machine_pb2.DISK_BUS_VIRTIO,
        cloud_init=machine_pb2.CloudInit(
            source=machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD,
            instance_id="i",
            public_key_folders=[secret(pod, "team", {"a": KEY}).path],
        ),
    )
    await pod.start_machine(machine)
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")
    await pod.type(b"mkdir -p /mnt; mount -t iso9660 /dev/vda /mnt\n")
    assert f'"public-keys": {{"0": "{KEY}"}}' in await output(pod, b"cat /mnt/meta-data")

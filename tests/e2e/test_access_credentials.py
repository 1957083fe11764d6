"""accessCredentials in a small guest with Debian's own guest agent, and in cloud-init's data source."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import apply, kubectl, until, wait
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest, disk_manifest, running
from tests.samples.public_keys import KEY, OTHER

pytestmark = pytest.mark.parallel

CONDITION = "AccessCredentialsSynchronized"
MARK = "kubevirt.io/access-credentials"
KEYS_FILE = "/root/.ssh/authorized_keys"
PASSWORD = "correct horse battery"
# What the guest lacks: a user, and the program that qemu-ga runs to set a password.
PREPARE = (
    "mkdir -p /root /etc; echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; "
    "printf '#!/bin/sh\\ncat >>/tmp/chpasswd\\n' >/bin/chpasswd; chmod 755 /bin/chpasswd"
)
REFRESH_S = 300  # the kubelet looks for a changed Secret every minute or so


@contextmanager
def secret(name: str, **values: str) -> Iterator[str]:
    """A Secret; deleted afterwards."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})
    try:
        yield name
    finally:
        kubectl("delete", "secret", name, "--ignore-not-found")


def keys(secret: str, **method: Any) -> dict[str, Any]:
    return {"sshPublicKey": {"source": {"secret": {"secretName": secret}}, "propagationMethod": method}}


def passwords(secret: str) -> dict[str, Any]:
    source = {"secret": {"secretName": secret}}
    return {"userPassword": {"source": source, "propagationMethod": {"qemuGuestAgent": {}}}}


def with_agent(body: dict[str, Any], *credentials: dict[str, Any]) -> dict[str, Any]:
    """The same guest with a guest agent that its shell can start."""
    spec = body["spec"]
    spec["domain"]["memory"]["guest"] = "192Mi"
    spec["domain"]["firmware"]["kernelBoot"]["container"]["initrdPath"] = "/boot/initrd-with-agent"
    spec["accessCredentials"] = list(credentials)
    return body


def read_again(guest: Guest) -> None:
    """Have the kubelet look at the pod, and so at its Secrets, without waiting for its next round."""
    kubectl(
        "annotate",
        "--overwrite",
        "pod",
        guest.pod["metadata"]["name"],
        f"test/look={guest.pod['metadata']['resourceVersion']}",
    )


def test_a_guest_gets_the_keys_and_passwords_of_secrets_and_their_changes() -> None:
    asyncio.run(_keys_and_passwords())


async def _keys_and_passwords() -> None:
    body = disk_manifest("with-credentials", {"seed": {"cloudInitNoCloud": {"userData": "#cloud-config\n"}}})
    with secret("team-keys", a=KEY) as team, secret("root-password", root=PASSWORD) as own:
        agent = {"qemuGuestAgent": {"users": ["root"]}}
        with running(with_agent(body, keys(team, **agent), keys(team, noCloud={}), passwords(own))) as (guest,):
            until(lambda: bool(guest.condition(CONDITION)), "the condition")
            found = guest.condition(CONDITION)
            assert (found["status"], found["reason"]) == ("False", "GuestAgentNotConnected")
            async with Shell.of(guest) as shell:
                await shell.run("mkdir -p /mnt; mount -t iso9660 /dev/vda /mnt")
                assert f'"public-keys": {{"0": "{KEY}"}}' in await shell.run("cat /mnt/meta-data")
                await shell.run(PREPARE)
                await shell.type("/agent/start >/tmp/agent.log 2>&1 &")
                wait("vmi", guest.name, f"condition={CONDITION}")
                assert await shell.run(f"cat {KEYS_FILE}") == f"{KEY} {MARK}"
                assert await shell.run("cat /tmp/chpasswd") == f"root:{PASSWORD}"
                kubectl("patch", "secret", team, "--type=json", "-p", _replaced("a", "b", OTHER))
                read_again(guest)
                # The launcher adds the new key before it removes the old one: for a moment the guest has both.
                loop = f"while grep -q ed25519 {KEYS_FILE}; do sleep 1; done; cat {KEYS_FILE}"
                assert await shell.run(loop, REFRESH_S) == f"{OTHER} {MARK}"
            assert guest.condition(CONDITION)["status"] == "True"
            logs = kubectl("logs", guest.pod["metadata"]["name"], "-c", "compute")
            shown = logs + str(guest.vmi["status"]) + str(guest.pod) + str(guest.events)
            for hidden in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), KEY.split()[1], OTHER.split()[1]):
                assert hidden not in shown


def _replaced(old: str, new: str, value: str) -> str:
    encoded = base64.b64encode(value.encode()).decode()
    return f'[{{"op": "remove", "path": "/data/{old}"}}, {{"op": "add", "path": "/data/{new}", "value": "{encoded}"}}]'


def test_a_guest_waits_for_a_secret_that_is_missing_and_says_so() -> None:
    body = with_agent(disk_manifest("without-secret", {}), passwords("not-there-yet"))
    apply(body)
    try:
        guest = Guest("without-secret")
        until(lambda: "not-there-yet" in str(guest.vmi["status"].get("conditions")), "the Secret's name in a condition")
        assert guest.phase in ("Scheduling", "Scheduled")
        with secret("not-there-yet", root=PASSWORD):
            wait("vmi", guest.name, "jsonpath={.status.phase}=Running", seconds=REFRESH_S)
    finally:
        kubectl("delete", "vmi", "without-secret", "--ignore-not-found", "--wait", "--timeout=180s")

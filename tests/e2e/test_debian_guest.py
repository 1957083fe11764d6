"""A real Debian with its own cloud-init and guest agent: all that small guests cannot show. `make test-all`.

Two of them boot side by side: one reads NoCloud from a Secret, the other a ConfigDrive in base64.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import debian_image
from tests.e2e.cluster import apply, kubectl, until
from tests.e2e.guests import Guest, disk_manifest, running

pytestmark = pytest.mark.slow

BOOT_S = 420  # two emulated guests on two cores, each a minute or two by itself
STATIC = "198.51.100.10"  # beside what DHCP gives
PROOF = "/var/tmp/proof"
NETWORK_V2 = f"""version: 2
ethernets:
  eth0:
    dhcp4: true
    addresses: [{STATIC}/24]
"""
NETWORK_JSON = json.dumps(
    {
        "links": [{"id": "eth0", "name": "eth0", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:99"}],
        "networks": [{"id": "dhcp", "link": "eth0", "type": "ipv4_dhcp"}],
        "services": [],
    }
)


class Ssh:
    """A login at a guest by a key of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._key = folder / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)

    @property
    def public(self) -> str:
        """What the guest must know."""
        return self._key.with_suffix(".pub").read_text().strip()

    def run(self, guest: Guest, command: str, seconds: float = 60) -> str:
        """What a command printed; fails if it failed."""
        done = self.attempt(guest, command, seconds)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def attempt(self, guest: Guest, command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10"]
        argv = ["ssh", "-i", str(self._key), "-F", "none", "-o", "LogLevel=ERROR"]
        argv += [part for option in options for part in ("-o", option)]
        argv += [f"ada@{guest.address}", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)


def user_data(public: str) -> str:
    """A user with a key, and commands."""
    return f"""#cloud-config
users:
  - name: ada
    shell: /bin/bash
    ssh_authorized_keys: ["{public}"]
runcmd:
  - [sh, -c, "echo made by runcmd >{PROOF}"]
"""


def debian(name: str, reference: str, cloud_init: dict[str, Any]) -> dict[str, Any]:
    """The VMI."""
    body = disk_manifest(name, {"root": {"containerDisk": {"image": reference}}, "cloud": cloud_init})
    domain = body["spec"]["domain"]
    domain |= {"cpu": {"cores": 2}, "memory": {"guest": "768Mi"}}
    domain["devices"]["rng"] = {}
    domain["firmware"]["kernelBoot"] = {
        "container": {"image": reference, "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"},
        "kernelArgs": "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet no_timer_check",
    }
    return body


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Ssh:
    """The key."""
    return Ssh(tmp_path_factory.mktemp("ssh"))


@pytest.fixture(scope="module")
def debians(suite: None, ssh: Ssh) -> Iterator[list[Guest]]:
    """One for each kind of data source, once their agents answer."""
    reference = debian_image.ensure()
    data = {"userdata": user_data(ssh.public), "networkdata": NETWORK_V2}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "debian", "namespace": "default"}}
    apply({**secret, "data": encoded})
    named = {"name": "debian"}
    no_cloud = {"cloudInitNoCloud": {"secretRef": named, "networkDataSecretRef": named}}
    inline = {"userDataBase64": encoded["userdata"], "networkData": NETWORK_JSON}
    first, second = debian("nocloud", reference, no_cloud), debian("drive", reference, {"cloudInitConfigDrive": inline})
    first["spec"]["hostname"] = "ada-machine"
    first["spec"]["readinessProbe"] = {"guestAgentPing": {}, "periodSeconds": 5, "timeoutSeconds": 5}
    second["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"] = "02:00:00:00:00:99"
    command = ["test", "-e", PROOF]
    second["spec"]["readinessProbe"] = {"exec": {"command": command}, "periodSeconds": 5, "timeoutSeconds": 5}
    try:
        with running(first, second) as guests:
            assert all(guest.condition("Ready")["status"] == "False" for guest in guests), "no probe has succeeded yet"
            for guest in guests:
                took = until(lambda guest=guest: connected(guest), f"the agent of {guest.name}", BOOT_S, 1)  # type: ignore[misc]
                print(f"{guest.name}: agent connected after {took:.0f} s")
            for guest in guests:
                login = f"a login at {guest.name}"
                until(lambda guest=guest: ssh.attempt(guest, "true").returncode == 0, login, BOOT_S, 1)  # type: ignore[misc]
                status = json.loads(ssh.attempt(guest, "cloud-init status --wait --format json", BOOT_S).stdout)
                print(guest.name, status)
                assert (status["status"], status["errors"], status["recoverable_errors"]) == ("done", [], {})
            yield guests
    finally:
        kubectl("delete", "secret", "debian", "--ignore-not-found")


def connected(guest: Guest) -> bool:
    """Whether the VMI says that the agent is."""
    return guest.condition("AgentConnected").get("status") == "True"


def test_cloud_init_made_the_user_ran_the_commands_and_set_name_and_network(debians: list[Guest], ssh: Ssh) -> None:
    for guest, hostname in zip(debians, ("ada-machine", "drive"), strict=True):
        assert ssh.run(guest, "id -un; hostname") == f"ada\n{hostname}"
        assert ssh.run(guest, f"cat {PROOF}") == "made by runcmd"
        source = ssh.run(guest, "cloud-init query platform")
        assert source in ("nocloud", "openstack", "configdrive"), source
        assert abs(int(ssh.run(guest, "date +%s")) - time.time()) < 30, "its clock is the node's"
    no_cloud, drive = (ssh.run(guest, "ip -4 -o addr show eth0") for guest in debians)
    assert STATIC in no_cloud and "10.0.2.2/" in no_cloud
    assert "10.0.2.2/" in drive and STATIC not in drive


def test_the_agents_word_is_in_the_status_and_the_subresources(debians: list[Guest]) -> None:
    guest = debians[0]
    until(lambda: "guestOSInfo" in guest.vmi["status"], "what the guest is")
    assert guest.vmi["status"]["guestOSInfo"]["id"] == "debian"
    info = json.loads(guest.question("guestosinfo"))
    assert (info["hostname"], info["os"]["id"], info["os"]["versionId"]) == ("ada-machine", "debian", "13")
    assert info["guestAgentVersion"]
    mounted = {
        filesystem["mountPoint"]: filesystem for filesystem in json.loads(guest.question("filesystemlist"))["items"]
    }
    assert mounted["/"]["fileSystemType"] == "ext4" and mounted["/"]["usedBytes"] > 0
    assert "items" in json.loads(guest.question("userlist"))


def test_probes_ask_inside_the_guest(debians: list[Guest]) -> None:
    for guest in debians:
        until(lambda guest=guest: guest.condition("Ready").get("status") == "True", f"{guest.name} to be ready")  # type: ignore[misc]


def test_file_systems_are_frozen_and_thawed(debians: list[Guest]) -> None:
    guest = debians[0]
    guest.command("freeze")
    try:
        until(lambda: guest.vmi["status"].get("fsFreezeStatus") == "frozen", "the status to say frozen")
    finally:
        guest.command("unfreeze")
    until(lambda: "fsFreezeStatus" not in guest.vmi["status"], "the status to say no more")


def test_a_soft_reboot_is_the_guests_own(debians: list[Guest], ssh: Ssh) -> None:
    guest, read = debians[1], "cat /proc/sys/kernel/random/boot_id"
    first, pid = ssh.run(guest, read), guest.qemu_pid()
    guest.command("softreboot")

    def rebooted() -> bool:
        done = ssh.attempt(guest, read)
        return done.returncode == 0 and done.stdout.strip() != first

    until(rebooted, "the guest to be there again", BOOT_S, 1)
    assert (guest.phase, guest.qemu_pid()) == ("Running", pid)
    assert ssh.run(guest, f"cat {PROOF}") == "made by runcmd", "its disk must have outlived the reboot"
    until(lambda: connected(guest), "the agent again", BOOT_S, 1)

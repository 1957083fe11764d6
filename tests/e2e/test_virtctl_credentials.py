"""KubeVirt's own virtctl on the accessCredentials of a VirtualMachine: credentials add-ssh-key, remove-ssh-key,
set-password. `make test-all`: it is built from its Go module."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest
from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import apply, condition_of, get, kubectl
from tests.e2e.virtual_machines import existing, has, vm_manifest
from tests.samples.public_keys import KEY, OTHER

pytestmark = pytest.mark.slow

PASSWORDS = "virtctl-passwords"


@pytest.fixture(scope="module")
def virtctl(suite: None) -> Path:
    """The program."""
    return clients.ensure(clients.VIRTCTL, Cluster.load())


def succeeds(virtctl: Path, *arguments: str) -> str:
    done = subprocess.run([virtctl, *arguments], capture_output=True, text=True, timeout=240, check=False)
    print(f"$ virtctl {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def credentials(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get("vm", name)["spec"]["template"]["spec"].get("accessCredentials", [])
    return found


def values(secret: str) -> list[str]:
    return [base64.b64decode(value).decode().strip() for value in get("secret", secret).get("data", {}).values()]


def test_keys_and_passwords_are_added_and_removed(virtctl: Path) -> None:
    with existing(vm_manifest("virtctl-credentials", "Halted")) as name:
        add = ("credentials", "add-ssh-key", "--user", "root", name)
        succeeds(virtctl, *add, "--value", KEY)
        (made,) = credentials(name)
        assert made["sshPublicKey"]["propagationMethod"] == {"qemuGuestAgent": {"users": ["root"]}}
        secret = made["sshPublicKey"]["source"]["secret"]["secretName"]
        assert values(secret) == [KEY]
        succeeds(virtctl, *add, "--value", OTHER)
        assert sorted(values(secret)) == sorted([KEY, OTHER])
        succeeds(virtctl, "start", name)
        has(name, "Running")
        condition = condition_of(get("vmi", name), "AccessCredentialsSynchronized")
        assert condition.get("reason") == "GuestAgentNotConnected"
        succeeds(virtctl, "credentials", "remove-ssh-key", "--user", "root", "--value", KEY, name)
        assert values(secret) == [OTHER]
        succeeds(virtctl, "stop", name)
        has(name, "Stopped")
    kubectl("wait", "--for=delete", f"secret/{secret}", "--timeout=60s")


def test_a_password_is_set_in_the_secret_that_the_virtual_machine_names(virtctl: Path) -> None:
    body = vm_manifest("virtctl-password", "Halted")
    source = {"secret": {"secretName": PASSWORDS}}
    body["spec"]["template"]["spec"]["accessCredentials"] = [
        {"userPassword": {"source": source, "propagationMethod": {"qemuGuestAgent": {}}}}
    ]
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": PASSWORDS}})
    try:
        with existing(body) as name:
            succeeds(virtctl, "credentials", "set-password", "--user", "root", "--password", "x", "--force", name)
            assert values(PASSWORDS) == ["x"]
    finally:
        kubectl("delete", "secret", PASSWORDS, "--ignore-not-found")

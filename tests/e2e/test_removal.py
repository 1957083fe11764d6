"""Removal in every order: refused where it would strand something, and nothing of the suite is left behind.

Each test that removes the suite installs it again. They run after all others but those that crash the cluster.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until, wait
from tests.e2e.guests import manifest, running
from tests.e2e.removal import OPERATOR, SUITE, install, last_resort, left, operators_own, refusal
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.last(2)  # a new suite has another history in the audit log

FIRST = "delete the KubeVirt object first"
BLOCK = '{"spec":{"uninstallStrategy":"BlockUninstallIfWorkloadsExist"}}'


@pytest.fixture
def reinstalled() -> Iterator[None]:
    """The suite is there again afterwards, whatever the test left."""
    yield
    print(f"installed again in {install():.1f} s")


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "-f", OPERATOR, "--wait=false"),
        ("delete", "namespace", NAMESPACE, "--wait=false"),
        ("delete", "crd", "kubevirts.kubevirt.io", "virtualmachineinstances.kubevirt.io", "--wait=false"),
        ("-n", NAMESPACE, "delete", "deployment", "virt-operator", "--wait=false"),
    ],
    ids=["manifest", "namespace", "CRDs", "Deployment"],
)
def test_the_operator_is_not_pulled_away_from_under_a_kubevirt_object(arguments: tuple[str, ...]) -> None:
    before, crds = operators_own(), _crds()
    message = refusal(*arguments)
    print(message.splitlines()[0])
    assert FIRST in message and f"{NAMESPACE}/kubevirt" in message
    assert message.count(FIRST) >= (len(before) if "-f" in arguments else 1)
    assert operators_own() == before and _crds() == crds
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)


def _crds() -> dict[str, str]:
    found = get("crds", "-l", "operator.kubevirt.io")["items"]
    assert len(found) >= 2 and not [body for body in found if "deletionTimestamp" in body["metadata"]]
    return {body["metadata"]["name"]: body["metadata"]["uid"] for body in found}


def _both_files(*files: str) -> None:
    """One command with both files is refused for what must wait, and goes through when it is repeated."""
    command = ["delete", "--ignore-not-found", *(part for file in files for part in ("-f", file))]
    began = time.monotonic()
    assert FIRST in refusal(*command)

    def repeated() -> bool:
        done = subprocess.run(["kubectl", *command], capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0 or FIRST in done.stderr, done.stderr
        return done.returncode == 0

    until(repeated, "both files to be deleted", 2 * PATIENCE, every=1)
    _nothing_is_left(began)


def _nothing_is_left(began: float) -> None:
    until(lambda: not left(), "nothing to be left") if left() else None
    assert left() == []
    print(f"removed in {time.monotonic() - began:.1f} s, nothing left")


def test_both_files_in_one_command(reinstalled: None) -> None:
    _both_files(SUITE, OPERATOR)


@pytest.mark.slow
def test_both_files_in_one_command_the_other_way_round(reinstalled: None) -> None:
    _both_files(OPERATOR, SUITE)


@pytest.mark.slow
def test_the_object_then_the_operator_with_guests_running(reinstalled: None) -> None:
    apply(manifest("removed"))
    wait("vmi", "removed", "jsonpath={.status.phase}=Running")
    began = time.monotonic()
    kubectl("-n", NAMESPACE, "delete", "kv", "kubevirt", "--timeout=180s")
    assert not get("pods", "-n", "default", "-l", "kubevirt.io=virt-launcher")["items"]
    assert "virt-operator-validator" in kubectl("get", "validatingwebhookconfigurations", "-o", "name")
    kubectl("delete", "-f", OPERATOR, "--timeout=180s")
    _nothing_is_left(began)


@pytest.mark.slow
def test_workloads_block_the_removal_if_the_strategy_requires_it(reinstalled: None) -> None:
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", BLOCK)
    with running(manifest("kept")) as (guest,):
        message = refusal("-n", NAMESPACE, "delete", "kv", "kubevirt", "--wait=false")
        print(message)
        assert "VirtualMachineInstance default/kept" in message and "BlockUninstallIfWorkloadsExist" in message
        _delete_while_the_webhook_is_away()
        message = "jsonpath={.status.conditions[?(@.type=='Available')].message}"
        describe = lambda: kubectl("-n", NAMESPACE, "get", "kv", "kubevirt", "-o", message)  # noqa: E731
        until(lambda: "VirtualMachineInstance default/kept" in describe(), "the condition to name the guest")
        print(describe())
        assert guest.phase == "Running" and _crds()
    began = time.monotonic()
    wait("kv", "kubevirt", "delete", namespace=NAMESPACE)
    kubectl("delete", "-f", OPERATOR, "--timeout=180s")
    _nothing_is_left(began)


def _delete_while_the_webhook_is_away() -> None:
    _stop_operator()
    kubectl("delete", "validatingwebhookconfiguration", "virt-operator-validator")
    until(_deleted, "the API server to forget the webhook", every=0.5)
    kubectl("-n", NAMESPACE, "scale", "deployment", "virt-operator", "--replicas=2")


def _deleted() -> bool:
    arguments = ("-n", NAMESPACE, "delete", "kv", "kubevirt", "--wait=false", "--ignore-not-found")
    return subprocess.run(["kubectl", *arguments], capture_output=True, timeout=240, check=False).returncode == 0


def _stop_operator() -> None:
    kubectl("-n", NAMESPACE, "scale", "deployment", "virt-operator", "--replicas=0")
    kubectl("-n", NAMESPACE, "wait", "pod", "-l", "kubevirt.io=virt-operator", "--for=delete", "--timeout=180s")


@pytest.mark.slow
def test_the_last_resort_after_the_operator_was_taken_by_force(reinstalled: None) -> None:
    apply(manifest("stranded"))
    wait("vmi", "stranded", "jsonpath={.status.phase}=Running")
    _stop_operator()
    kubectl("delete", "validatingadmissionpolicybinding", "kubevirt-operator-stays")
    until(_taken, "the API server to forget the policy", every=0.5)
    assert left()
    began = time.monotonic()
    last_resort()
    _nothing_is_left(began)
    last_resort()  # once more, for nothing


def _taken() -> bool:
    arguments = ("delete", "-f", OPERATOR, "--ignore-not-found", "--wait=false")
    return subprocess.run(["kubectl", *arguments], capture_output=True, timeout=240, check=False).returncode == 0

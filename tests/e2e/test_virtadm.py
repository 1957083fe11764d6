"""virtadm on a real cluster, as an administrator runs it: what it shows is what the API server has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.admin import administrator
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until, wait
from tests.e2e.guests import created, manifest, running
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

COMPONENTS = ("virt-operator", "virt-api", "virt-controller", "virt-handler")
NAME = "known-to-virtadm"
STRANGER = "virtadm-stranger"


def virtadm(*arguments: str, kubeconfig: Path | None = None) -> tuple[int, str, str]:
    """Status, standard output and standard error. It finds no kubectl."""
    environment = {**os.environ, "PATH": "/nonexistent", **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    command = [sys.executable, "-m", "virt_admin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


def in_json(*arguments: str) -> tuple[int, Any]:
    """Status, and what `-o json` prints."""
    status, shown, error = virtadm(*arguments, "-o", "json")
    assert shown, error
    return status, json.loads(shown)


def test_peers_are_the_pods_of_the_suite(suite: None) -> None:
    administrator()  # without a client certificate it refuses
    answers: list[tuple[int, Any]] = []
    until(lambda: answers.append(in_json("peers")) or answers[-1][0] == 0, "every peer to answer on a busy machine")
    status, peers = answers[-1]
    pods = get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io in ({','.join(COMPONENTS)})")["items"]
    expected = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
    assert {peer["pod"] for peer in peers if not peer["terminating"]} == expected
    assert {peer["problem"] for peer in peers} == {""} and status == 0
    assert all(peer["contracts"] for peer in peers)


def test_a_guest_is_in_status_and_watch_and_doctor_finds_nothing_wrong_with_it(suite: None) -> None:
    with running(manifest(NAME)) as (only,):
        wait("vmi", NAME, "condition=Ready")  # the kubelet reports that later than the guest runs
        until(shows_the_conditions, "the conditions of the KubeVirt object")
        status, summary = in_json("status")
        assert status == 0
        here = {node["name"]: node for node in summary["nodes"]}[only.vmi["status"]["nodeName"]]
        assert here["guests"] >= 1 and here["handlerReady"] and here["handler"] == "new"
        assert summary["guests"]["running"] >= 1
        found: list[tuple[int, str, str]] = []
        until(lambda: found.append(virtadm("doctor", f"default/{NAME}")) or found[-1][0] == 0, "nothing to be wrong")
        with watching() as lines:
            begin = [*takewhile(lambda line: " guests: " not in line, lines)]
            assert any("virt-handler: 2 of 2 ready, 2 of the newest template" in line for line in begin), begin
            kubectl("delete", "vmi", NAME, "--wait=false")
            assert next(line for line in lines if " guests: " in line)


def shows_the_conditions() -> bool:
    """Whether they are what the API server has; they may change between both looks."""
    shown: list[Any] = in_json("status")[1]["conditions"]
    return bool(shown == get("-n", NAMESPACE, "kv", "kubevirt")["status"]["conditions"])


@contextmanager
def watching() -> Iterator[Iterator[str]]:
    """The lines of `virtadm watch`, which ends well when it is interrupted."""
    command = [sys.executable, "-m", "virt_admin", "watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            assert watch.stdout is not None
            yield watch.stdout
            watch.send_signal(signal.SIGINT)
            watch.stdout.read()
            assert watch.wait(PATIENCE) == 0
        finally:
            watch.kill()


def test_doctor_names_why_no_node_takes_a_guest_and_what_a_claim_lacks(suite: None) -> None:
    body = manifest("no-place-for-me")
    body["spec"]["nodeSelector"] = {"example.com/nowhere": "true"}
    with created(body):
        wait("vmi", "no-place-for-me", "condition=PodScheduled=False")
        status, shown, _ = virtadm("-n", "default", "doctor", "no-place-for-me")
    assert status == 2
    assert "problem: no node takes the launcher pod: 0/" in shown
    assert "it has no label example.com/nowhere=true" in shown
    assert "Pod default/virt-launcher-no-place-for-me" in shown and ", since 20" in shown


def test_doctor_finds_nothing_wrong_with_the_suite(suite: None) -> None:
    seen: list[Any] = []

    def is_well() -> bool:
        """A pod of a busy machine may be slow to answer its probe."""
        status, findings = in_json("doctor")
        seen.append([finding for finding in findings if finding["kind"] != "note"])
        return (status, seen[-1]) == (0, [])

    try:
        until(is_well, "nothing to be wrong")
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen[-1]}") from None


@pytest.fixture
def stranger(suite: None, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account with a token that may do nothing."""
    apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": STRANGER, "namespace": "default"}})
    try:
        token = kubectl("create", "token", STRANGER).strip()
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / "config"
        path.write_text(json.dumps(config))
        yield path
    finally:
        kubectl("delete", "serviceaccount", STRANGER)


def test_who_has_a_token_is_refused_by_peers_and_told_what_may_not_be_read(stranger: Path) -> None:
    status, _, error = virtadm("peers", kubeconfig=stranger)
    assert (status, "needs a kubeconfig with a client certificate" in error) == (3, True)
    status, _, error = virtadm("status", kubeconfig=stranger)
    assert status == 3 and "you may not list" in error and STRANGER in error

"""What administrators request of virt-operator, by admin/v1 and by virtadm: who may, what changes, what is refused.
Serial: the KubeVirt object is everybody's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc

from tests.e2e.admin import Identity, administrator, authority, channel, forwarded, new_user, replicas
from tests.e2e.builds import NEXT, TODAY, grant_permissions, pull, suite
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until

USER, ACCOUNT = "admin-requests-test", "virtadm-with-a-token"
CHANGES = ("Upgrade", "Pause", "Resume", "Rollback", "Finalize")


def virtadm(*arguments: str, kubeconfig: Path | None = None, seconds: float = 240) -> tuple[int, str, str]:
    """Status, standard output and standard error. It finds no kubectl."""
    environment = {**os.environ, "PATH": "/nonexistent", **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    command = [sys.executable, "-m", "virt_admin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def not_paused_afterwards() -> Iterator[None]:
    try:
        yield
    finally:
        patch = json.dumps({"spec": {"upgradeStrategy": None}})
        kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)


def paused() -> Any:
    return suite()["spec"].get("upgradeStrategy", {}).get("paused")


def notes(reason: str) -> list[str]:
    """Of the KubeVirt object's events, the oldest first."""
    events = get("-n", NAMESPACE, "events.events.k8s.io")["items"]
    found = [event for event in events if event["reason"] == reason and event["regarding"]["kind"] == "KubeVirt"]
    return [event["note"] for event in sorted(found, key=lambda event: str(event["eventTime"]))]


def call(opened: grpc.Channel, name: str, **fields: Any) -> Any:
    stub, request = admin_pb2_grpc.AdminServiceStub(opened), getattr(admin_pb2, f"{name}Request")(**fields)
    return getattr(stub, name)(request, timeout=120)


@pytest.fixture(scope="module")
def address(suite: None) -> Iterator[str]:
    with forwarded(replicas()[0]) as address:
        yield address


def test_a_pause_is_requested_with_the_users_name_and_seen_by_a_watch(address: str) -> None:
    caller = administrator()
    name = json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    with not_paused_afterwards(), channel(address, caller, authority()) as opened:
        stream = admin_pb2_grpc.AdminServiceStub(opened).Watch(admin_pb2.WatchRequest(), timeout=240)
        first = next(stream).state.suite
        assert (first.name, first.paused, first.observed.version) == ("kubevirt", False, TODAY.tag)
        status, shown, error = virtadm("pause", "-o", "json")
        assert (status, json.loads(shown)["changed"]) == (0, True), error
        assert paused() is True
        assert next(answer for answer in stream if answer.WhichOneof("message") == "state").state.suite.paused
        stream.cancel()
        note = f"paused: the next change will not begin (by user {name})"
        until(lambda: notes("PauseRequested")[-1:] == [note], "the event")
        assert virtadm("pause")[1] == "it is paused already\n"
        assert virtadm("resume")[0] == 0 and paused() is False


def test_a_watch_without_changes_has_heartbeats(address: str) -> None:
    with channel(address, administrator(), authority()) as opened:
        stream = admin_pb2_grpc.AdminServiceStub(opened).Watch(admin_pb2.WatchRequest(), timeout=240)
        assert next(stream).WhichOneof("message") == "state"
        # What the test before has changed may still be reported.
        assert any(answer.WhichOneof("message") == "heartbeat" for answer in stream)
        stream.cancel()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("upgrade", "--skip-plan", "--to", "TODAY"), "is installed already"),
        (("upgrade", "--skip-plan", "--to", "TODAY", "--direct"), "is installed already"),
        (("upgrade", "--to", "no-such-tag"), "nothing was changed"),
    ],
)
def test_what_is_impossible_or_blocked_changes_nothing(suite: None, command: tuple[str, ...], sentence: str) -> None:
    administrator()
    before = get("-n", NAMESPACE, "kv", "kubevirt")["spec"]
    arguments = [TODAY.tag if argument == "TODAY" else argument for argument in command]
    status, shown, error = virtadm(*arguments, seconds=300)
    assert status == 2 and sentence in error, (shown, error)
    assert get("-n", NAMESPACE, "kv", "kubevirt")["spec"] == before


def test_each_request_has_a_verb_of_its_own(address: str) -> None:
    user: Identity = new_user(USER)
    with not_paused_afterwards(), channel(address, user, authority()) as opened:
        for name in CHANGES:
            with pytest.raises(grpc.RpcError) as refused:
                call(opened, name)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert f'cannot {name.lower()} resource "kubevirts/admin"' in refused.value.details()
        try:
            kubectl("-n", NAMESPACE, "create", "role", USER, "--verb=pause", "--resource=kubevirts.kubevirt.io/admin")
            kubectl("-n", NAMESPACE, "create", "rolebinding", USER, f"--role={USER}", f"--user={USER}")
            until(lambda: _paused_by(opened), "the role to be known")
            assert paused() is True
            with pytest.raises(grpc.RpcError) as refused:
                call(opened, "Resume")
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        finally:
            kubectl("-n", NAMESPACE, "delete", "role,rolebinding", USER, "--ignore-not-found")


def _paused_by(opened: grpc.Channel) -> bool:
    try:
        return bool(call(opened, "Pause").requested.message)
    except grpc.RpcError:
        return False


def test_wrong_arguments_are_named(address: str) -> None:
    with channel(address, administrator(), authority()) as opened:
        for fields in ({}, {"tag": "a b"}, {"tag": "v1", "registry": "https://x"}):
            with pytest.raises(grpc.RpcError) as refused:
                call(opened, "Upgrade", **fields)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, fields


@pytest.fixture
def token(suite: None, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account with a token that may change the KubeVirt object."""
    apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": "default"}})
    try:
        kubectl("create", "clusterrole", ACCOUNT, "--verb=list,patch", "--resource=kubevirts.kubevirt.io")
        kubectl(
            "create", "clusterrolebinding", ACCOUNT, f"--clusterrole={ACCOUNT}", f"--serviceaccount=default:{ACCOUNT}"
        )
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        config["users"][0]["user"] = {"token": kubectl("create", "token", ACCOUNT).strip()}
        path = tmp_path / "config"
        path.write_text(json.dumps(config))
        yield path
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", ACCOUNT, "--ignore-not-found")
        kubectl("delete", "serviceaccount", ACCOUNT)


def test_who_has_a_token_changes_the_object_with_their_own_rights(token: Path) -> None:
    with not_paused_afterwards():
        until(lambda: virtadm("pause", kubeconfig=token)[0] == 0, "the role to be known")
        assert paused() is True
        status, _, error = virtadm("resume", kubeconfig=token)
        assert status == 0 and "with your own rights" in error and paused() is False
    status, _, error = virtadm("upgrade", "--to", "v9", kubeconfig=token)
    assert status == 3 and "use --skip-plan" in error


def test_every_side_shares_a_version_of_each_contract_with_those_that_it_calls(suite: None) -> None:
    administrator()
    seen: list[tuple[int, str, str]] = []
    # A busy pod may be late, which is an error.
    until(lambda: seen.append(virtadm("contracts", "-o", "json")) or seen[-1][0] == 0, "every pod to answer")
    status, shown, error = seen[-1]
    matrix = json.loads(shown)
    assert (status, error) == (0, "")
    assert {"kubevirt.admin", "kubevirt.handler", "kubevirt.info"} == {found["name"] for found in matrix["contracts"]}
    pairs = {
        (found["contract"], found["caller"]["component"], found["server"]["component"]) for found in matrix["pairings"]
    }
    assert {
        ("kubevirt.handler", "virt-api", "virt-handler"),
        ("kubevirt.handler", "virt-operator", "virt-handler"),
    } <= pairs
    assert all(found["versions"] for found in matrix["pairings"])
    assert matrix["uncountedNodes"] == [], "each virt-handler counts its launchers"


@pytest.mark.slow
@pytest.mark.usefixtures("back_to_today")
def test_virtadm_goes_to_the_next_release_and_back() -> None:
    administrator()
    pull(NEXT)
    pull(TODAY)
    grant_permissions(NEXT)
    status, shown, error = virtadm("upgrade", "--to", NEXT.tag, seconds=300)
    print(shown)
    assert status == 0, (shown[-3000:], error)
    assert error.rstrip().endswith(f"{NEXT.tag} is installed")
    assert "0 in the way" in shown and "steps now: virt-handler;" in shown and " wave 1 on " in shown
    assert notes("UpgradeRequested")[-1].startswith(f"the change from {TODAY.tag} to {NEXT.tag} is requested (by user ")
    _, state, _ = virtadm("status")
    assert f"way back to {TODAY.tag}" in state and "next: virtadm finalize" in state
    status, shown, error = virtadm("rollback", seconds=300)
    assert status == 0 and error.rstrip().endswith(f"{TODAY.tag} is installed"), (shown[-3000:], error)
    assert suite()["status"]["observedKubeVirtVersion"] == TODAY.tag
    status, _, error = virtadm("rollback")
    assert (status, "there is nothing to go back to" in error) == (2, True)

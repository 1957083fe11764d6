"""The admin port of each replica of the operator: its responses, and its authorization."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from virt_operator.certificates.issue import new_authority, new_leaf

from tests.e2e.admin import Identity, administrator, authority, channel, forwarded, new_user, replicas
from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, until

COMPONENTS = ("virt-api", "virt-controller", "virt-handler", "virt-operator")
USER = "admin-port-test"


@pytest.fixture(scope="module")
def trusted(suite: None) -> bytes:
    return authority()


@pytest.fixture(scope="module")
def user(suite: None) -> Identity:
    """Somebody whom the cluster knows and whom nothing is allowed."""
    return new_user(USER)


@pytest.fixture(scope="module")
def address(suite: None) -> Iterator[str]:
    with forwarded(replicas()[0]) as address:
        yield address


def get_status(opened: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminServiceStub(opened).GetStatus(admin_pb2.GetStatusRequest(), timeout=120)


def list_peers(opened: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminServiceStub(opened).ListPeers(admin_pb2.ListPeersRequest(), timeout=120)


def services(opened: grpc.Channel) -> list[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo(iter([request]), timeout=120))
    return [service.name for service in answer.list_services_response.service]


def refusal(call: Callable[[grpc.Channel], Any], opened: grpc.Channel) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(opened)
    return refused.value.code(), refused.value.details()


def peers_that_answer(opened: grpc.Channel) -> list[Any]:
    """All that do not end, once none has a problem: that a busy pod was late is one."""
    found: list[list[Any]] = []

    def all_answer() -> bool:
        found.append([peer for peer in list_peers(opened).peers if not peer.terminating])
        return not any(peer.problem for peer in found[-1])

    until(all_answer, "every pod to answer")
    return found[-1]


def test_each_replica_returns_the_status_and_every_peer(trusted: bytes) -> None:
    caller, answers = administrator(), []
    expected = {
        pod["metadata"]["name"]: (pod["spec"]["nodeName"], pod["status"]["podIP"])
        for pod in get("-n", NAMESPACE, "pods", "-l", f"kubevirt.io in ({','.join(COMPONENTS)})")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }
    for replica in replicas():
        with forwarded(replica) as address, channel(address, caller, trusted) as opened:
            status, peers = get_status(opened), peers_that_answer(opened)
        assert status.pod == replica
        assert (status.suite.name, status.suite.phase) == ("kubevirt", "Deployed")
        assert {condition.type: condition.status for condition in status.suite.conditions}["Available"] == "True"
        assert status.suite.observed.version == status.suite.target.version != ""
        assert {peer.pod: (peer.node, peer.address) for peer in peers} == expected
        assert {peer.pod: peer.problem for peer in peers} == dict.fromkeys(expected, "")
        assert {peer.component for peer in peers} == set(COMPONENTS)
        assert len({(peer.info.release, peer.info.feature_level) for peer in peers}) == 1
        assert all(peer.info.trust_bundle_sha256 for peer in peers)
        answers.append((status.leader, {peer.pod: peer.info.instance_id for peer in peers}))
    assert len(answers) == 2 and answers[0] == answers[1]
    assert answers[0][0] in replicas()
    assert len(set(answers[0][1].values())) == len(expected)


def test_a_missing_right_is_named_and_granted_by_a_role_binding(trusted: bytes, user: Identity, address: str) -> None:
    with channel(address, user, trusted) as opened:
        for call in (get_status, list_peers, services):
            code, message = refusal(call, opened)
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert f'User "{USER}" cannot get resource "kubevirts/admin" in API group "kubevirt.io"' in message
        health = health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=120)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        try:
            kubectl("-n", NAMESPACE, "create", "role", USER, "--verb=get", "--resource=kubevirts.kubevirt.io/admin")
            kubectl("-n", NAMESPACE, "create", "rolebinding", USER, f"--role={USER}", f"--user={USER}")
            until(lambda: _allowed(opened), "the role to be known")
            assert get_status(opened).suite.name == "kubevirt"
            assert services(opened) == [
                "grpc.health.v1.Health",
                "grpc.reflection.v1alpha.ServerReflection",
                "kubevirt.admin.v1.AdminService",
                "kubevirt.info.v1.InfoService",
            ]
        finally:
            kubectl("-n", NAMESPACE, "delete", "role,rolebinding", USER, "--ignore-not-found")


def _allowed(opened: grpc.Channel) -> bool:
    try:
        get_status(opened)
    except grpc.RpcError:
        return False
    return True


def test_without_a_certificate_or_with_that_of_a_stranger_there_is_no_connection(trusted: bytes, address: str) -> None:
    stranger = new_leaf(new_authority(datetime.now(UTC)), "system:admin", ("a",), datetime.now(UTC))
    for caller in (None, Identity(stranger.certificate, stranger.key)):
        with channel(address, caller, trusted) as opened:
            assert refusal(get_status, opened)[0] is grpc.StatusCode.UNAVAILABLE


def test_the_commands_of_the_manual_work(address: str, tmp_path: Path) -> None:
    administrator()  # without a client certificate nobody can follow the page
    page = (ROOT / "docs" / "admin-api.md").read_text()
    shell, python = (textwrap.dedent(block) for block in re.findall(r"\n\n((?:    .*\n|\n(?=    ))+)", page))
    files, _, _ = shell.partition("kubectl -n kubevirt port-forward")
    subprocess.run(["bash", "-ec", files], cwd=tmp_path, check=True, timeout=240)
    (tmp_path / "ask.py").write_text(python.replace("localhost:8186", address))
    ask = subprocess.run(
        [sys.executable, "ask.py"], cwd=tmp_path, check=True, timeout=240, capture_output=True, text=True
    )
    assert {line.split()[0] for line in ask.stdout.splitlines()} == set(COMPONENTS)

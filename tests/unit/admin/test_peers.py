"""peers: the port through the API server, authentication both ways, and what is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubevirt.admin.v1 import admin_pb2
from virt_admin.access import Access, Certificate
from virt_admin.outcome import CannotTell
from virt_admin.peers.ask import show_peers
from virt_admin.peers.replica import no_certificate
from virt_admin.peers.report import exit_code, processes, row
from virt_core.rpc.tls import read_files

from tests.support.authorities import Authority

from .port_server import RELEASE, PortServer, access, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[PortServer]:
    async with serving(tmp_path) as server:
        yield server


def certified(found: Access, folder: Path) -> Access:
    """The same as a user with a certificate. The kubeconfig of a server without TLS has none."""
    files = read_files(folder)
    return replace(found, certificate=Certificate(files["tls.crt"], files["tls.key"]))


async def shown(tmp_path: Path, output: str = "text") -> int:
    async with access(tmp_path) as found:
        return await show_peers(certified(found, tmp_path / "alice"), output)


async def test_every_process_is_shown_through_the_api_server(
    api: PortServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await shown(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "virt-api\tvirt-api-0\tnode1\t0.1.0\t1\tinfo.v1\tanswers",
        "virt-handler\tvirt-handler-1\tnode2\t\t\t\tno answer",
    ]
    assert await shown(tmp_path, "json") == 1
    assert [peer["release"] for peer in json.loads(capsys.readouterr().out)] == ["0.1.0", ""]
    assert api.operator.callers == [b"alice", b"alice"]


async def test_a_token_is_sent_to_nobody(api: PortServer, tmp_path: Path) -> None:
    async with access(tmp_path) as found:
        with pytest.raises(CannotTell) as refused:
            await show_peers(found, "text")
    assert str(refused.value) == no_certificate("peers")
    assert api.requests == [] and api.operator.callers == []


async def test_an_operator_of_another_authority_is_not_believed(api: PortServer, tmp_path: Path) -> None:
    api.authority = Authority("another")
    with pytest.raises(CannotTell, match="virt-operator does not answer: virt-operator-0: "):
        await shown(tmp_path)
    assert api.operator.callers == []


async def test_another_component_with_a_certificate_of_the_suite_is_not_believed(tmp_path: Path) -> None:
    async with serving(tmp_path, "virt-handler.kubevirt.svc") as api:
        with pytest.raises(CannotTell, match="virt-operator does not answer: virt-operator-0: "):
            await shown(tmp_path)
        assert api.operator.callers == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"forbidden": True}, "virt-operator-0: 403: GET .*/portforward"),
        ({"error": "connection refused in the pod"}, "virt-operator-0: connection refused in the pod"),
    ],
)
async def test_a_port_that_cannot_be_forwarded_says_why(
    api: PortServer, tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    for name, value in fault.items():
        setattr(api, name, value)
    with pytest.raises(CannotTell, match=message):
        await shown(tmp_path)


async def test_a_permission_that_is_missing_is_named(api: PortServer, tmp_path: Path) -> None:
    api.operator.refusal = 'User "alice" cannot get resource "kubevirts/admin"'
    with pytest.raises(CannotTell, match='User "alice" cannot get resource'):
        await shown(tmp_path)


def peer(problem: str = "", terminating: bool = False, release: str = "0.1.0") -> admin_pb2.Peer:
    info = None if problem else admin_pb2.Peer(info=RELEASE).info
    found = admin_pb2.Peer(component="virt-api", pod="p", info=info, problem=problem, terminating=terminating)
    if info is not None:
        found.info.release = release
    return found


@pytest.mark.parametrize(
    ("peers", "code"),
    [
        ([], 1),
        ([peer(), peer()], 0),
        ([peer(), peer(release="0.2.0")], 1),
        ([peer(), peer("no answer")], 1),
        ([peer(), peer("no answer", terminating=True)], 0),
    ],
)
def test_the_status_says_whether_all_answer_and_are_of_one_release(peers: list[admin_pb2.Peer], code: int) -> None:
    assert exit_code(processes(admin_pb2.ListPeersResponse(peers=peers))) == code


def test_a_terminating_process_is_marked() -> None:
    (found,) = processes(admin_pb2.ListPeersResponse(peers=[peer("no answer", terminating=True)]))
    assert row(found)[-1] == "terminating, no answer"

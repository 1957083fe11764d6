"""The plan and the requests of the page of virtadm ui, answered by virt-operator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubevirt.admin.v1 import admin_pb2
from virt_admin.access import Certificate
from virt_admin.ui.app import Server
from virt_admin.ui.board import Board
from virt_admin.ui.guard import KEY_HEADER
from virt_admin.ui.serve import listening
from virt_admin.ui.session import cookie_name
from virt_core.rpc.tls import read_files

from tests.support.page_server import FILES

from .port_server import PortServer, access, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[PortServer]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def page(api: PortServer, tmp_path: Path) -> AsyncIterator[Server]:
    """For a user whom virt-operator knows; nothing is watched."""
    files = read_files(tmp_path / "alice")
    async with access(tmp_path) as found:
        known = replace(found, certificate=Certificate(files["tls.crt"], files["tls.key"]))
        async with listening(known, Board(found.client, None, "kubevirt"), FILES) as server:
            yield server


async def post(page: Server, path: str, body: dict[str, Any]) -> tuple[int, list[Any]]:
    """Status, and the lines of the answer."""
    origin = f"http://127.0.0.1:{page.port}"
    headers = {"Origin": origin, KEY_HEADER: page.session.key}
    cookies = {cookie_name(page.port): page.session.cookie}
    async with (
        aiohttp.ClientSession(origin, cookies=cookies) as session,
        session.post(path, json=body, headers=headers) as response,
    ):
        return response.status, [json.loads(line) for line in (await response.text()).splitlines()]


async def test_a_plan_comes_with_what_is_done_meanwhile(api: PortServer, page: Server) -> None:
    summary = admin_pb2.PlanSummary(operation="Update", from_release="0.1.0", to_release="0.2.0", tag="v2", probed=True)
    subject = admin_pb2.Subject(kind="Node", name="node1")
    finding = admin_pb2.Finding(severity=admin_pb2.SEVERITY_BLOCKING, subject=subject, reason="NodeNotReady")
    api.operator.planned = [
        admin_pb2.PlanResponse(progress=admin_pb2.PlanProgress(activity="reading the cluster")),
        admin_pb2.PlanResponse(findings=admin_pb2.Findings(findings=[finding])),
        admin_pb2.PlanResponse(summary=summary),
    ]
    status, lines = await post(page, "/api/plan", {"tag": "v2", "registry": "r", "offline": True})
    assert status == 200 and lines[0] == {"progress": "reading the cluster"}
    assert (lines[1]["plan"]["blocking"], lines[1]["plan"]["findings"][0]["reason"]) == (1, "NodeNotReady")
    assert api.operator.plans == [admin_pb2.PlanRequest(tag="v2", registry="r", offline=True)]
    assert api.operator.callers == [b"alice"]


async def test_who_may_not_plan_is_told(api: PortServer, page: Server) -> None:
    api.operator.refusal = "alice may not plan"
    _, (line,) = await post(page, "/api/plan", {"tag": "v2"})
    assert "alice may not plan" in line["error"]


@pytest.mark.parametrize("name", ["upgrade", "pause", "resume", "rollback", "finalize"])
async def test_a_request_is_carried_out_by_virt_operator(api: PortServer, page: Server, name: str) -> None:
    body = {"tag": "v2", "registry": "r"} if name == "upgrade" else {}
    status, (answer,) = await post(page, f"/api/suite/{name}", body)
    assert status == 200 and answer["message"]
    assert api.operator.requested == ["Upgrade v2 r" if name == "upgrade" else name.capitalize()]


async def test_what_the_suite_cannot_do_now_is_refused_with_its_sentence(api: PortServer, page: Server) -> None:
    api.operator.impossible = "there is nothing to go back to"
    status, (answer,) = await post(page, "/api/suite/rollback", {})
    assert status == 409 and "nothing to go back to" in answer["error"]

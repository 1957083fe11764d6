"""The method Plan of the admin port, over real mTLS: its own rule, its messages, one plan at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from kubevirt.admin.v1 import admin_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import JOBS, KUBEVIRTS
from virt_core.rpc.errors import Denied, InvalidField
from virt_core.rpc.peer import Peer
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_operator.admin.registries import registries

from tests.support.patience import PATIENCE

from .admin_port import calling


async def planned(peer: Peer, stub: Any, **request: Any) -> list[admin_pb2.PlanResponse]:
    stream = peer.stream(stub.Plan, admin_pb2.PlanRequest(**request), idle=30, lifetime=60)
    return [response async for response in stream]


async def test_progress_findings_and_a_summary_are_sent_in_this_order(client: KubeClient, tmp_path: Path) -> None:
    async with calling(client, tmp_path, "virt-api") as (peer, stub):
        sent = await planned(peer, stub, tag="v9", registry="registry.example/", offline=True)
    kinds = [response.WhichOneof("message") for response in sent]
    assert kinds == ["progress", "progress", "findings", "summary"]
    assert [finding.reason for finding in sent[2].findings.findings] == ["NotInstalled"]
    summary = sent[3].summary
    assert (summary.operation, summary.registry, summary.blocking) == ("Unknown", "registry.example", 1)


async def test_who_may_only_read_may_not_plan(client: KubeClient, tmp_path: Path) -> None:
    async with calling(client, tmp_path, "virt-controller") as (peer, stub):
        with pytest.raises(Denied):
            await planned(peer, stub, tag="v9", offline=True)
        await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=PATIENCE)


async def test_who_may_plan_but_not_upgrade_chooses_no_other_registry(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    spec, back = {"imageRegistry": "registry.example/suite"}, {"version": "v1", "registry": "old.example"}
    body = {"metadata": {"name": "kubevirt"}, "spec": spec, "status": {"upgrade": {"wayBack": back}}}
    server.put(KUBEVIRTS.path("kubevirt"), body)
    async with calling(client, tmp_path, "virt-api", upgrader="virt-operator") as (peer, stub):
        with pytest.raises(Denied):
            await planned(peer, stub, tag="v9", registry="evil.example")
        assert await planned(peer, stub, tag="v9", registry="evil.example", offline=True)
    kubevirt = server.store.get(Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt")))
    assert registries(kubevirt, "own.example") == {"own.example", "registry.example/suite", "old.example"}
    assert server.store.select(Place.parse(JOBS.path("kubevirt")), lambda _: True) == []


async def test_a_plan_without_a_tag_is_refused_with_the_field(client: KubeClient, tmp_path: Path) -> None:
    async with calling(client, tmp_path, "virt-api") as (peer, stub):
        with pytest.raises(InvalidField) as refused:
            await planned(peer, stub)
        assert refused.value.field == "tag"
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=PATIENCE)

"""The operator knows which virt-controller leads; that it renews its Lease is no news."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import LEASES
from virt_core.testing.api_server import FakeApiServer
from virt_operator.reconcile.leader import ControllerLeader


def lease(name: str, holder: str, renewed: str = "2026-01-31T10:00:00.000000Z") -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"holderIdentity": holder, "renewTime": renewed}}


async def test_another_leader_is_reported_and_a_renewal_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeApiServer.running() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
        path, reported = LEASES.path("kubevirt", "virt-controller"), asyncio.Queue[str]()
        async with KubeClient.connect("test") as client:
            leader = ControllerLeader(client, "kubevirt", lambda: reported.put_nowait(leader.name))
            server.put(LEASES.path("kubevirt"), lease("virt-controller", "pod-a"))
            server.put(LEASES.path("kubevirt"), lease("virt-operator", "pod-x"))
            following = asyncio.create_task(leader.run())
            try:
                assert await reported.get() == "pod-a"
                assert (leader.since is not None, leader.vacancy) == (True, timedelta(0)), "nobody saw who led before"
                server.patch(path, lease("virt-controller", "pod-a", "2026-01-31T10:00:05.000000Z"))
                server.patch(path, lease("virt-controller", "", "2026-01-31T10:00:05.000000Z"))
                assert await reported.get() == "", "nobody, after a graceful end"
                released = leader.since
                server.patch(path, lease("virt-controller", "pod-b"))
                assert await reported.get() == "pod-b"
                assert released is not None and leader.since is not None
                assert leader.vacancy == leader.since - released > timedelta(0)
                server.remove(path)
                assert await reported.get() == ""
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

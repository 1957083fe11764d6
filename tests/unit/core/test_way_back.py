"""status.upgrade of the KubeVirt object between releases: what outlasts an operation, and who may use which level."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.upgrade_status import LedgerEntry, Stopped, Upgrade, WayBack
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

WAY_BACK = WayBack("v1.2.3", "registry.example:5000/suite", "v1.2.3", 1, machine_types={"q35": "pc-q35-7.2"})


class UpgradeOf010(msgspec.Struct, frozen=True, rename="camel"):
    """As release 0.1.0 decodes it (240b93b): it must always be able to."""

    operation: str
    step: str
    since: str
    started_at: str = ""
    from_version: str = ""
    to_version: str = ""
    waiting_for: list[dict[str, str]] = []


@pytest.mark.parametrize(
    "upgrade",
    [
        Upgrade(way_back=WAY_BACK, level=1),
        Upgrade(way_back=msgspec.structs.replace(WAY_BACK, ledger=[LedgerEntry("VirtualMachine default/a", "x", "y")])),
        Upgrade("Rollback", "virt-api", "2026-01-31T10:00:00Z", level=2),
    ],
)
def test_the_first_release_decodes_what_outlasts_an_operation(upgrade: Upgrade) -> None:
    written = msgspec.json.encode(upgrade)
    old = msgspec.json.decode(written, type=UpgradeOf010)
    assert (old.operation, old.step, old.since) == (upgrade.operation, upgrade.step, upgrade.since)
    assert msgspec.json.decode(written, type=Upgrade) == upgrade


def test_a_way_back_alone_is_no_change_in_progress() -> None:
    waiting = KubeVirtStatus(upgrade=Upgrade(way_back=WAY_BACK, level=1))
    assert waiting.change is None and waiting.way_back == WAY_BACK
    stopped = Stopped("id", "v2", "v2", "Update", "virt-handler", "node a", "machines", "m", "now")
    for upgrade in (Upgrade("Update", "Operator", "now"), Upgrade("Stopped", "", "now", stopped=stopped)):
        assert KubeVirtStatus(upgrade=upgrade).change == upgrade
    assert KubeVirtStatus().change is None and KubeVirtStatus().way_back is None


@pytest.mark.parametrize(("stored", "allowed"), [(None, 1), (0, 1), (1, 1), (2, 2), (5, 5)])
def test_behaviour_waits_for_its_level(stored: int | None, allowed: int) -> None:
    status = KubeVirtStatus(upgrade=Upgrade(level=stored) if stored is not None else None)
    assert status.may_use(allowed) and not status.may_use(allowed + 1)


async def test_components_read_the_machine_types_that_both_releases_know(
    server: FakeApiServer, client: KubeClient
) -> None:
    status: dict[str, Any] = {"upgrade": msgspec.to_builtins(Upgrade(way_back=WAY_BACK))}
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}, "status": status})
    cache, changed = ConfigurationCache(client, "kubevirt"), asyncio.Event()
    cache.subscribe(changed.set)
    assert cache.machine_types("") == {}
    async with asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE):
        running = group.create_task(cache.run(), name="configuration")
        await cache.synced.wait()
        assert cache.machine_types("v1.3.0") == cache.machine_types("v1.2.0-x") == {"q35": "pc-q35-7.2"}
        assert cache.machine_types("v1.1.0") == {}, "a pinned launcher of before may not know it"
        changed.clear()
        server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"status": {"upgrade": {"wayBack": None}}})
        await changed.wait()
        assert cache.machine_types("") == {}
        running.cancel()

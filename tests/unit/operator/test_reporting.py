"""Conditions of the KubeVirt object after failed passes: whole passes on the fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CONFIG_MAPS, KUBEVIRTS, VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectReference
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.change.plan import plan
from virt_operator.proof.guest import body_of
from virt_operator.reconcile import failure, reconciler
from virt_operator.reconcile.reconciler import Reconciler
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy, strategy_of, to_config_map
from virt_operator.suite.observed import Observed, SuiteObject
from virt_operator.suite.plan import Plan

from tests.support.patience import PATIENCE
from tests.unit.operator.suites import HELD, INSTALL, OPERATOR

WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example.com": connection refused'


class Suite:
    """The KubeVirt object as a user watches it, and the operator that reconciles it."""

    def __init__(self, client: KubeClient, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self._changed = asyncio.Event()
        self.watch = Reflector(client, KUBEVIRTS, SuiteObject, lambda _: self._changed.set())

    @property
    def status(self) -> KubeVirtStatus:
        return next((suite.status for suite in self.watch), KubeVirtStatus())

    async def until(self, wanted: Callable[[KubeVirtStatus], bool]) -> KubeVirtStatus:
        async with asyncio.timeout(PATIENCE):
            while not wanted(self.status):
                self._changed.clear()
                await self._changed.wait()
        return self.status


def conditions(status: KubeVirtStatus) -> dict[str, str]:
    return {
        condition.type: f"{condition.status} {condition.reason}: {condition.message}" for condition in status.conditions
    }


@asynccontextmanager
async def installing(
    client: KubeClient, server: FakeApiServer, folder: Path, strategy: InstallStrategy
) -> AsyncIterator[Suite]:
    """An operator that leads, and a KubeVirt object whose strategy has been printed."""
    server.reviews.rules = [rule for rules in HELD.values() for rule in rules]
    server.put(CONFIG_MAPS.path("kubevirt"), to_config_map(strategy, INSTALL))
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    authority = AuthorityWatch(client, "kubevirt")
    made = Reconciler(client, authority, replace(OPERATOR, certificates=folder))
    suite = Suite(client, made)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run()) for run in (suite.watch.run, authority.run, made.run)]
        yield suite
        for task in tasks:
            task.cancel()


PRINTED = strategy_of(INSTALL, INSTALL.deployment_id)


@pytest.mark.parametrize(
    "refusal",
    [
        Refused(500, "InternalError", WEBHOOK),
        Refused(503, "ServiceUnavailable", "etcdserver: leader changed"),
        Refused(504, "Timeout", "request did not complete within the allotted timeout"),
        Refused(404, "NotFound", "the server could not find the requested resource"),
        Refused(409, "Conflict", "the object has been modified"),
        Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format"),
        Refused(403, "Forbidden", "admission denies it"),
    ],
    ids=lambda refusal: str(refusal.code),
)
async def test_whatever_an_object_is_refused_with_is_in_the_conditions_until_it_is_over(
    client: KubeClient,
    server: FakeApiServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Refused,
) -> None:
    monkeypatch.setattr(failure, "_PASSING_CONFLICT", failure._PASSING)  # 10 s otherwise

    def refuse(method: str, place: Place) -> None:
        if place.plural == "services" and method != "GET":
            raise refusal

    server.fault = refuse
    async with installing(client, server, tmp_path, PRINTED) as suite:
        failed = conditions(await suite.until(lambda status: "Synchronized" in conditions(status)))
        assert failed["Synchronized"] == f"False DeploymentFailed: Service kubevirt/virt-api: {refusal.code}: {refusal}"
        assert failed["Degraded"].startswith("True DeploymentFailed: Service kubevirt/virt-api")
        server.fault = lambda _method, _place: None
        mended = await suite.until(lambda status: "Synchronized" not in conditions(status))
        assert conditions(mended)["Degraded"].startswith("False DeploymentInProgress")


async def test_a_defect_is_reported(client: KubeClient, server: FakeApiServer, tmp_path: Path) -> None:
    strategy = msgspec.structs.replace(PRINTED, objects=[{"kind": "Unknown", "metadata": {"name": "odd"}}])
    async with installing(client, server, tmp_path, strategy) as suite:
        failed = conditions(await suite.until(lambda status: "Synchronized" in conditions(status)))
        assert failed["Synchronized"].startswith("False DeploymentFailed: defect of virt-operator ")
        assert "KeyError: 'Unknown'" in failed["Synchronized"]


async def test_a_changed_spec_is_tried_at_once_and_soon_again_however_long_the_one_before_has_failed(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    refusals: asyncio.Queue[None] = asyncio.Queue()

    def refuse(method: str, place: Place) -> None:
        if place.plural == "services" and method != "GET":
            refusals.put_nowait(None)
            raise Refused(403, "Forbidden", "admission denies it")

    server.fault = refuse
    async with installing(client, server, tmp_path, PRINTED) as suite:
        await suite.until(lambda status: "Synchronized" in conditions(status))
        suite.reconciler._queue._failures["suite"] = 20  # a later failure is tried again after 30 s
        while not refusals.empty():
            refusals.get_nowait()
        server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"workloadUpdateStrategy": {}}})
        async with asyncio.timeout(25):
            for _ in range(8):
                await refusals.get()


async def test_guests_that_a_change_could_not_delete_are_deleted_at_its_end(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    deleted = asyncio.Event()

    def see(method: str, place: Place) -> None:
        if (method, place.plural) == ("DELETE", VIRTUAL_MACHINE_INSTANCES.plural):
            deleted.set()

    server.fault = see
    async with installing(client, server, tmp_path, msgspec.structs.replace(PRINTED, objects=[])) as suite:
        await suite.until(lambda status: status.change is not None)
        body = body_of(ObjectReference("kubevirt.io/v1", "KubeVirt", "kubevirt", "kubevirt", "uid-1"), {})
        server.put(VIRTUAL_MACHINE_INSTANCES.path("kubevirt"), body)
        server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"imageTag": "refused, so it ends"}})
        await asyncio.wait_for(deleted.wait(), PATIENCE)


async def test_how_long_a_pod_takes_counts_from_when_the_status_could_be_written_again(
    client: KubeClient, server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, again = list[Observed](), asyncio.Event()

    def planned(observed: Observed, operator: Settings) -> Plan:
        seen.append(observed)
        again.set()
        return plan(observed, operator)

    def refuse(method: str, place: Place) -> None:
        if place.plural == KUBEVIRTS.plural and method != "GET":
            raise Refused(503, "ServiceUnavailable", "etcdserver: leader changed")

    monkeypatch.setattr(reconciler, "plan", planned)
    async with installing(client, server, tmp_path, msgspec.structs.replace(PRINTED, objects=[])) as suite:
        await suite.until(lambda status: status.change is not None)
        assert {observed.able_since for observed in seen} == {seen[0].now}
        server.fault, passes = refuse, len(seen)
        server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"imageTag": "v9.9.9"}})
        async with asyncio.timeout(PATIENCE):
            while len(seen) < passes + 3:
                await again.wait()
                again.clear()
        server.fault = lambda _method, _place: None
        await suite.until(lambda status: status.target_kube_virt_version == "v9.9.9")
    able = seen[-1].able_since
    assert able is not None and able > seen[passes].now


async def test_no_pass_begins_before_guests_that_the_leader_before_has_left_are_deleted(
    client: KubeClient, server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, passes = asyncio.Event(), list[bool]()

    async def deleting(*_: object) -> None:
        await deleted.wait()

    def planning(observed: Observed, operator: Settings) -> Plan:
        passes.append(deleted.is_set())
        return plan(observed, operator)

    monkeypatch.setattr(reconciler, "delete_left", deleting)
    monkeypatch.setattr(reconciler, "plan", planning)
    async with installing(client, server, tmp_path, PRINTED) as suite:
        await server.received("WATCH", 20)
        deleted.set()
        await suite.until(lambda status: bool(status.phase))
    assert passes and all(passes), "a pass may use a guest that is deleted then"

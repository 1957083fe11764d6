"""What the operator sees of the Prometheus operator's kinds and of Prometheus' account, and what it asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, KUBEVIRTS, SERVICE_ACCOUNTS
from virt_core.rpc.tls import Certificates
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.reconcile.inventory import Inventory
from virt_operator.reconcile.prometheus import PrometheusWatch
from virt_operator.strategy.desired import managed_labels
from virt_operator.strategy.monitoring import NAME
from virt_operator.strategy.ref import FOREIGN, KINDS, Ref
from virt_operator.suite.actions import Delete
from virt_operator.suite.observed import OwnedObject
from virt_operator.suite.prometheus import Prometheus

from tests.support.patience import PATIENCE

from .prometheus import definition

MONITORS = KINDS["ServiceMonitor"]
REF = Ref("ServiceMonitor", "elsewhere", NAME)
PLURALS = {KINDS[kind].plural for kind in FOREIGN}


class Watched:
    """An inventory whose watches run."""

    def __init__(self, server: FakeApiServer, inventory: Inventory, changed: asyncio.Event) -> None:
        self.server = server
        self.inventory = inventory
        self._changed = changed

    @property
    def known(self) -> Prometheus:
        return self.inventory.observe().prometheus

    async def until(self, reached: Callable[[], bool]) -> None:
        """Each look is after the operator has seen a change."""
        async with asyncio.timeout(PATIENCE):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def define(self, kind: str, **how: str) -> None:
        self.server.undefined.discard(KINDS[kind].plural)
        self.server.put(CUSTOM_RESOURCE_DEFINITIONS.path(), definition(kind, **how))

    def undefine(self, kind: str) -> None:
        self.server.undefined.add(KINDS[kind].plural)
        self.server.remove(CUSTOM_RESOURCE_DEFINITIONS.path(None, FOREIGN[kind]))
        self.server.cut()

    def account(self, namespace: str, name: str = "prometheus-k8s") -> None:
        self.server.put(SERVICE_ACCOUNTS.path(namespace), {"metadata": {"name": name, "namespace": namespace}})

    def asked_for(self, *plurals: str) -> list[str]:
        """Requests for collections of these in all namespaces, and for others' kinds anywhere."""
        everywhere = {f"/{plural}" for plural in plurals}
        return [path for _, path in self.server.requests if any(path.endswith(end) for end in everywhere)]


@pytest.fixture
async def watched(client: KubeClient, server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Watched]:
    changed = asyncio.Event()
    inventory = Inventory(client, AuthorityWatch(client, "kubevirt"), Certificates(tmp_path), "kubevirt", changed.set)
    server.undefined |= PLURALS
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt", "namespace": "kubevirt"}, "spec": {}})
    running = [asyncio.create_task(watch) for _, watch in inventory.watches()]
    running.append(asyncio.create_task(inventory.synced()))
    try:
        found = Watched(server, inventory, changed)
        await found.until(lambda: inventory.active_suite() is not None)
        await found.until(lambda: inventory.observe().unknown == ("permissions",))
        yield found
    finally:
        for task in running:
            task.cancel()


def monitor(**meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "namespace": "elsewhere", "labels": managed_labels(), **meta}, "spec": {}}


async def test_kinds_that_are_not_defined_and_accounts_are_never_asked_for(watched: Watched) -> None:
    assert watched.known == Prometheus()
    assert watched.asked_for(*PLURALS) == []
    assert [path for path in watched.asked_for("serviceaccounts") if "/namespaces/" not in path] == []


async def test_a_kind_that_is_defined_later_is_listed_at_once_and_forgotten_when_it_goes(watched: Watched) -> None:
    watched.server.put(MONITORS.path("elsewhere"), monitor())
    watched.define("ServiceMonitor")
    await watched.until(lambda: REF in watched.inventory.observe().owned)
    assert (watched.known.served, watched.known.unlisted) == ({"ServiceMonitor"}, {})
    watched.undefine("ServiceMonitor")
    await watched.until(lambda: REF not in watched.inventory.observe().owned)
    await watched.until(lambda: watched.known.served == frozenset())
    watched.define("ServiceMonitor")
    await watched.until(lambda: REF in watched.inventory.observe().owned)


async def test_monitors_of_other_names_are_not_the_suites_whatever_label_somebody_gives_them(watched: Watched) -> None:
    for namespace, name in (("elsewhere", "mine"), ("elsewhere", NAME)):
        watched.server.put(MONITORS.path(namespace), monitor(namespace=namespace, name=name))
    watched.define("ServiceMonitor")
    await watched.until(lambda: REF in watched.inventory.observe().owned)
    watched.server.put(MONITORS.path("other"), monitor(namespace="other", name="mine"))
    watched.server.put(MONITORS.path("other"), monitor(namespace="other"))
    await watched.until(lambda: REF._replace(namespace="other") in watched.inventory.observe().owned)
    found = {ref for ref in watched.inventory.observe().owned if ref.kind == "ServiceMonitor"}
    assert found == {REF, REF._replace(namespace="other")}


async def test_the_end_of_an_empty_first_list_is_a_reason_for_a_pass(watched: Watched) -> None:
    watched.define("PrometheusRule")
    await watched.until(lambda: watched.known.served == {"PrometheusRule"} and not watched.known.unlisted)
    await watched.until(lambda: watched.known.namespaces == frozenset())


@pytest.mark.parametrize(
    "how", [{"version": "v1alpha1"}, {"established": "False"}, {"deleted": "2026-01-31T10:00:00Z"}], ids=str
)
async def test_a_definition_that_does_not_serve_the_version_counts_as_none(
    watched: Watched, how: dict[str, str]
) -> None:
    watched.define("ServiceMonitor", **how)
    watched.define("PrometheusRule")
    await watched.until(lambda: "PrometheusRule" in watched.known.served)
    assert watched.known.served == {"PrometheusRule"} and watched.asked_for(MONITORS.plural) == []


async def test_the_account_that_the_kubevirt_object_names_is_followed_in_all_namespaces(watched: Watched) -> None:
    watched.account("monitoring")
    watched.account("observability", "prom")
    watched.define("ServiceMonitor")
    await watched.until(lambda: watched.known.namespaces == {"monitoring"})
    watched.account("openshift-monitoring")
    await watched.until(lambda: watched.known.namespaces == {"monitoring", "openshift-monitoring"})
    watched.server.patch(KUBEVIRTS.path("kubevirt", "kubevirt"), {"spec": {"monitorAccount": "prom"}})
    await watched.until(lambda: watched.known.namespaces == {"observability"})
    watched.server.remove(SERVICE_ACCOUNTS.path("observability", "prom"))
    await watched.until(lambda: watched.known.namespaces == frozenset())
    watched.undefine("ServiceMonitor")
    await watched.until(lambda: watched.known == Prometheus())


async def test_where_one_account_is_says_nothing_of_another(client: KubeClient, server: FakeApiServer) -> None:
    changed = asyncio.Event()
    watch = PrometheusWatch(client, changed.set)
    objects = {kind: Reflector(client, KINDS[kind], OwnedObject) for kind in FOREIGN}
    watch.follow("prometheus-k8s")
    server.put(CUSTOM_RESOURCE_DEFINITIONS.path(), definition("ServiceMonitor"))
    running = [asyncio.create_task(work) for _, work in watch.watches(objects)]
    async with asyncio.timeout(PATIENCE):
        while watch.known(objects).namespaces is None:
            changed.clear()
            await changed.wait()
    watch.follow("prom")
    assert watch.known(objects).namespaces is None
    for task in running:
        task.cancel()


async def test_a_refused_write_is_a_reason_for_a_pass_and_is_forgotten_when_one_succeeds(watched: Watched) -> None:
    action = Delete(REF, "uid", "why")
    watched.inventory.attempted(REF, action, "denied")
    await watched.until(lambda: REF in watched.known.refused)
    first = watched.known.refused[REF]
    watched.inventory.attempted(REF, action, "denied")
    second = watched.known.refused[REF]
    assert (first.times, second.times) == (1, 2)
    assert second.until - second.at == 2 * (first.until - first.at)
    watched.inventory.attempted(REF, action, None)
    assert watched.known.refused == {}


async def test_kinds_that_cannot_be_listed_hold_up_nothing(watched: Watched) -> None:
    watched.server.put(CUSTOM_RESOURCE_DEFINITIONS.path(), definition("ServiceMonitor"))  # but it is not served
    await watched.until(lambda: watched.known.served == {"ServiceMonitor"})
    assert watched.known.unlisted == {"ServiceMonitor": ""}
    assert watched.inventory.observe().unknown == ("permissions",)

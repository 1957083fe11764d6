"""The objects for a Prometheus of the Prometheus operator come where there is one, and nothing ever waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virt_core.validation.refusal import display
from virt_operator.strategy.monitoring import NAME, ROLE, is_monitoring
from virt_operator.strategy.ref import FOREIGN, Ref
from virt_operator.suite.actions import Beside
from virt_operator.suite.prometheus import refusal_of, wanted

from .updates import NEW, OLD, condition, installed, passes, updated
from .upgrades import status
from .world import World

ROLES = {Ref("Role", "kubevirt", ROLE), Ref("RoleBinding", "kubevirt", ROLE)}
MONITOR = Ref("ServiceMonitor", "monitoring", NAME)
RULE = Ref("PrometheusRule", "kubevirt", NAME)
WHOLE = ROLES | {MONITOR, RULE}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with installed(tmp_path) as made:
        yield made


@pytest.fixture
async def watched(world: World) -> World:
    """With a Prometheus, and the objects for it."""
    world.prometheus.define(*FOREIGN)
    world.prometheus.account()
    await passes(world)
    assert there(world) == WHOLE
    return world


def there(world: World) -> set[Ref]:
    return {ref for ref in world.owned if is_monitoring(ref)}


def said(world: World) -> str:
    """The condition Available, which is True whatever is missing for Prometheus."""
    state, reason, message = condition(world, "Available")
    assert (state, reason) == ("True", "AllComponentsReady")
    return message


def subject(world: World) -> tuple[str, str]:
    (found,) = world.owned[Ref("RoleBinding", "kubevirt", ROLE)].content()["subjects"]
    return found["namespace"], found["name"]


async def test_without_the_kinds_nothing_is_written_and_nothing_is_said(world: World) -> None:
    world.prometheus.account()
    await passes(world)
    assert there(world) == set()
    assert said(world) == "all components are ready"


async def test_the_objects_come_with_the_kinds_and_go_with_them(watched: World) -> None:
    assert subject(watched) == ("monitoring", "prometheus-k8s")
    assert said(watched) == "all components are ready"
    watched.prometheus.undefine("PrometheusRule")
    await passes(watched)
    assert there(watched) == WHOLE - {RULE}
    assert "not installed: CustomResourceDefinition prometheusrules.monitoring.coreos.com" in said(watched)
    watched.prometheus.undefine("ServiceMonitor")
    await passes(watched)
    assert there(watched) == set()
    assert said(watched) == "all components are ready"
    watched.prometheus.define(*FOREIGN)
    await passes(watched)
    assert there(watched) == WHOLE


async def test_by_default_prometheus_is_looked_for_where_kubevirt_does(world: World) -> None:
    world.prometheus.define(*FOREIGN)
    world.prometheus.account("elsewhere")
    await passes(world)
    assert there(world) == set()
    missing = "no service account prometheus-k8s in namespace openshift-monitoring or monitoring"
    assert missing in said(world)
    world.prometheus.account()
    await passes(world)
    assert there(world) == WHOLE and said(world) == "all components are ready"
    world.prometheus.account("openshift-monitoring")
    await passes(world)
    assert subject(world) == ("openshift-monitoring", "prometheus-k8s")
    assert there(world) == ROLES | {RULE, MONITOR._replace(namespace="openshift-monitoring")}


async def test_the_kubevirt_object_says_where_prometheus_is(watched: World) -> None:
    watched.prometheus.account("observability", "prom")
    watched.ask(monitorNamespace="observability", monitorAccount="prom", serviceMonitorNamespace="monitors")
    await passes(watched)
    assert there(watched) == ROLES | {RULE, MONITOR._replace(namespace="monitors")}
    assert subject(watched) == ("observability", "prom")
    watched.ask(serviceMonitorNamespace=None)
    await passes(watched)
    assert MONITOR._replace(namespace="observability") in there(watched)
    watched.ask(monitorAccount="nobody")
    await passes(watched)
    assert there(watched) == set()
    assert "no service account nobody in namespace observability" in said(watched)
    watched.ask(monitorNamespace=None, monitorAccount=None)
    await passes(watched)
    assert there(watched) == WHOLE


async def test_a_kubevirt_object_that_names_a_prometheus_says_that_the_kinds_are_missing(world: World) -> None:
    world.ask(monitorAccount="prometheus-k8s")
    await passes(world)
    assert "servicemonitors.monitoring.coreos.com, prometheusrules.monitoring.coreos.com" in said(world)


@pytest.mark.parametrize("ref", sorted(WHOLE), ids=str)
async def test_what_is_changed_or_deleted_is_put_back(watched: World, ref: Ref) -> None:
    path = ref.resource.path(ref.namespace, ref.name)
    before = watched.owned[ref].parts
    change = {"rules": []} if ref.kind == "Role" else {"subjects": []}
    watched.server.patch(path, change if ref in ROLES else {"spec": {"endpoints": [], "groups": []}})
    assert watched.owned[ref].parts != before
    await passes(watched)
    assert watched.owned[ref].parts == before
    watched.server.remove(path)
    await passes(watched)
    assert watched.owned[ref].parts == before


@pytest.mark.parametrize("trouble", ["", "403: not for you"])
async def test_nothing_is_removed_or_written_while_a_kind_is_not_listed_yet(watched: World, trouble: str) -> None:
    watched.prometheus.unlisted = {"ServiceMonitor": trouble}
    watched.server.remove(MONITOR.resource.path(MONITOR.namespace, MONITOR.name))
    await passes(watched)
    assert there(watched) == ROLES | {RULE}
    watched.prometheus.unlisted = {}
    await passes(watched)
    assert there(watched) == WHOLE


async def test_a_refused_write_disturbs_nothing_and_is_repeated_seldom(world: World) -> None:
    world.prometheus.define(*FOREIGN)
    world.prometheus.account()
    world.prometheus.refusing = {NAME}
    for _ in range(10):
        await world.run_pass()
    assert there(world) == ROLES and world.prometheus.tries == 2, "one for each object"
    assert f"{MONITOR}: 403: denied by a policy; next attempt at" in said(world)
    assert status(world).phase == "Deployed"
    decided = await world.run_pass()
    assert decided.actions == () and world.next_moment(decided)
    await world.run_pass()
    assert world.prometheus.tries == 4
    await updated(world)
    world.prometheus.refusing = set()
    await passes(world)
    assert there(world) == WHOLE and said(world) == "all components are ready"


async def test_a_conflict_that_stays_holds_up_no_update_and_is_named(world: World) -> None:
    world.prometheus.define(*FOREIGN)
    world.prometheus.account()
    world.prometheus.refusing, world.prometheus.answer = {ROLE}, (409, "Conflict", "somebody's webhook says so")
    await updated(world)
    assert there(world) == {MONITOR, RULE} and "409: somebody's webhook says so; next attempt at" in said(world)
    world.prometheus.refusing = set()
    await passes(world)
    assert there(world) == WHOLE and said(world) == "all components are ready"


async def test_a_refused_deletion_does_not_hold_up_what_is_asked_for(watched: World) -> None:
    watched.prometheus.refusing = {NAME, ROLE}
    watched.prometheus.unmonitored = frozenset({"v1.2.0"})
    watched.ask(imageTag="v1.2.0")
    await passes(watched)
    assert status(watched).observed_kube_virt_version == "v1.2.0"
    assert there(watched) == WHOLE


async def test_an_update_writes_the_objects_of_the_new_release_when_its_components_are_there(watched: World) -> None:
    def releases() -> set[str]:
        marks = (watched.owned[ref].metadata.annotations for ref in WHOLE)
        return {annotations["kubevirt.io/install-strategy-release"] for annotations in marks}

    watched.ask(imageTag=NEW)
    while status(watched).observed_kube_virt_version == OLD:
        before = releases()
        decided = await watched.run_pass()
        assert before == {OLD} or not decided.waits
        watched.act()
        if not decided.actions:
            watched.next_moment(decided)
    await passes(watched)
    assert releases() == {NEW}


async def test_the_objects_stay_until_all_components_are_of_the_release_that_has_none(watched: World) -> None:
    watched.prometheus.unmonitored = frozenset({"v1.2.0"})
    watched.ask(imageTag="v1.2.0")
    while status(watched).observed_kube_virt_version == OLD:
        before = there(watched)
        decided = await watched.run_pass()
        assert there(watched) == before or not decided.waits
        watched.act()
        if not decided.actions:
            watched.next_moment(decided)
    assert there(watched) == set()


async def test_an_older_release_without_the_objects_takes_them_away_and_the_next_update_brings_them(
    watched: World,
) -> None:
    watched.prometheus.unmonitored = frozenset({"v1.2.0"})
    await updated(watched, "v1.2.0")
    assert there(watched) == set()
    await updated(watched, NEW)
    assert there(watched) == WHOLE


async def test_a_removal_takes_them_with_it(watched: World) -> None:
    watched.delete()
    for _ in range(20):
        await watched.run_pass()
        watched.act()
        for pod in watched.pods:
            watched.server.remove(f"/api/v1/namespaces/kubevirt/pods/{pod.metadata.name}")
    assert watched.suite is None and watched.owned == {}


async def test_actions_of_a_pass_are_marked_as_those_of_which_nothing_depends(world: World) -> None:
    world.prometheus.define(*FOREIGN)
    world.prometheus.account()
    decided = await world.run_pass()
    assert {action.ref for action in decided.actions if isinstance(action, Beside)} == WHOLE


@pytest.mark.parametrize("field", ["monitorNamespace", "serviceMonitorNamespace", "monitorAccount"])
@pytest.mark.parametrize("value", ["Monitoring", "a/b", "-a", "a..b", "a" * 254, 7, ["a"]])
def test_a_name_that_nothing_can_have_is_refused_by_field(field: str, value: object) -> None:
    message, allowed = (
        refusal_of({field: value}),
        "DNS labels" if field == "monitorAccount" else "1 to 63 of a-z, 0-9 and -",
    )
    assert message is not None and message.startswith(f"spec.{field}: {display(value)} is not allowed, use ")
    assert allowed in message
    assert wanted({field: value}) is None


def test_empty_fields_stand_for_the_defaults() -> None:
    assert wanted({"monitorNamespace": "", "monitorAccount": None}) == wanted({})

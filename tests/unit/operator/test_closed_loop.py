"""Whatever users, strangers and failures do to a suite: in the end it is what its KubeVirt object asks for.

The operator works on a fake cluster (world.py). Once everybody leaves off, passes of observe, plan and execute come to
rest: nothing is left to do, every object is exactly as its release has it, and the object says so.
"""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.conventions.labels import FINALIZE_UPGRADE, KUBEVIRT_FINALIZER
from virt_core.kube.client import KubeClient
from virt_core.testing.api_server import FakeApiServer
from virt_operator.customization.customize import customized
from virt_operator.customization.patches import patches_of
from virt_operator.strategy.install_strategy import name_of
from virt_operator.strategy.monitoring import MONITOR, is_monitoring
from virt_operator.strategy.ref import DEFINED, Body, ref_of
from virt_operator.strategy.ref import FOREIGN as FOREIGN_KINDS
from virt_operator.strategy.trust import trusting
from virt_operator.suite.drift import desired_parts
from virt_operator.suite.plan import Plan
from virt_operator.suite.spec import install_settings

from .administrator import follow
from .releases import printed
from .rest import Rest
from .strangers import FOREIGN, leave_foreign
from .world import NODES, World

pytestmark = pytest.mark.exhaustive

MOST_PASSES = 150
EXAMPLES = int(os.environ.get("EXAMPLES", "20"))
PATCH = {
    "resourceType": "Deployment",
    "resourceName": "virt-api",
    "type": "merge",
    "patch": json.dumps({"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}}),
}
NOWHERE = {**PATCH, "resourceName": "virt-nobody"}
"""A patch that is refused."""


ACTS: dict[str, Callable[[World, Any], None]] = {
    "create": lambda world, _: world.create(),
    "delete": lambda world, _: world.delete(),
    "restore": lambda world, _: world.restore(),
    "broken authority": lambda world, _: world.break_authority(),
    "foreign": lambda world, _: leave_foreign(world.server),
    "tag": lambda world, tag: world.ask(imageTag=tag),
    "manifest": lambda world, tag: world.apply_manifest(tag),
    "replicas": lambda world, count: world.ask(infra={"replicas": count} if count else None),
    "patches": lambda world, patches: world.ask(customizeComponents={"patches": patches} if patches else None),
    "bundle": lambda world, enabled: world.ask(
        configuration={"commonInstancetypesDeployment": {"enabled": enabled}} if enabled is not None else None
    ),
    "drift": lambda world, seeds: world.drift(seeds),
    "node": lambda world, name: world.dies_or_returns(name),
    "unready": lambda world, component: world.fails_or_recovers(component),
    "failing": lambda world, count: world.fail(count),
    "broken": lambda world, release: world.probes.break_or_mend(release),
    "pace": lambda world, pace: world.ask(upgradeStrategy=pace),
    "prometheus": lambda world, kinds: world.prometheus.has(*kinds),
    "monitor": lambda world, namespace: world.ask(monitorNamespace=namespace),
    "finalize": lambda world, release: world.annotate(FINALIZE_UPGRADE, release),
}
"""What somebody does."""


def acts(kind: str, *values: Any) -> list[tuple[str, Any]]:
    """Some things that may happen."""
    return [(kind, value) for value in values or (None,)]


PACES = (None, {"paused": True}, {"canary": 0, "waveSize": "100%"}, {"pauseBetweenWaves": "3m"}, {"soak": "0s"})

STEPS = st.one_of(
    st.tuples(st.just("drift"), st.lists(st.integers(0, 100_000), min_size=1, max_size=6)),
    st.sampled_from(acts("tag", "v1.2.3", "prod-41", "v1.2.0", "blue", None)),
    st.sampled_from(acts("bundle", False, True, None)),
    st.sampled_from(acts("manifest", "v1.2.3", "prod-41", "v1.2.0", "blue")),
    st.sampled_from([*acts("patches", [], [PATCH], [NOWHERE]), *acts("replicas", None, 1, 3)]),
    st.sampled_from([*acts("node", *NODES), *acts("unready", "virt-api", "virt-controller", "virt-handler")]),
    st.sampled_from([*acts("failing", 1, 2, 5), *acts("broken authority"), *acts("restore")]),
    st.sampled_from([*acts("broken", "v1.3.0", "v1.2.0", "v1.2.3"), *acts("pace", *PACES)]),
    st.sampled_from(
        [*acts("prometheus", (), ("ServiceMonitor",), tuple(FOREIGN_KINDS)), *acts("monitor", None, "mine")]
    ),
    st.sampled_from(acts("finalize", "v1.2.3", "v1.3.0", "v1.2.0")),
    st.sampled_from([*acts("delete"), *acts("create"), *acts("create"), *acts("foreign"), *acts("foreign")]),
)
PASSES = st.lists(st.sampled_from((None, None, 0, 1, 5, 20)), max_size=4)
"""Passes after a step; a number is of the actions after which the process dies."""
HISTORY = st.lists(st.tuples(STEPS, PASSES), min_size=5, max_size=10)


@given(installed=st.booleans(), history=HISTORY)
# Shrinking takes minutes, a second for each try. EXAMPLES=500 looks further than the same 20 histories.
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 20, phases=(Phase.explicit, Phase.generate))
def test_in_the_end_the_suite_is_what_is_asked_for_and_nothing_is_left_to_do(installed: bool, history: Any) -> None:
    asyncio.run(live(installed, history))


async def live(installed: bool, history: list[tuple[tuple[str, Any], list[int | None]]]) -> None:
    with TemporaryDirectory() as folder:
        async with FakeApiServer.running() as server:
            os.environ["KUBECONFIG"] = str(server.write_kubeconfig(Path(folder, "kubeconfig")))
            try:
                async with KubeClient.connect("test") as client:
                    world = World(server, client)
                    await happen(world, installed, history)
            finally:
                os.environ.pop("KUBECONFIG", None)


async def happen(world: World, installed: bool, history: list[tuple[tuple[str, Any], list[int | None]]]) -> None:
    world.create()
    world.prometheus.account()
    world.prometheus.account("mine")
    if installed:
        judge(world, await settle(world))
    for what, passes in history:
        kind, value = what
        ACTS[kind](world, value)
        for most in passes:
            follow(world, await world.run_pass(most))
            world.act()
    world.calm()
    if world.suite is not None and NOWHERE in world.suite.spec.get("customizeComponents", {}).get("patches", ()):
        world.ask(customizeComponents=None)
    judge(world, await settle(world))


async def settle(world: World) -> Plan:
    """Passes until nothing is left to do. It comes to rest, or it is a defect."""
    rest = Rest()
    for _ in range(MOST_PASSES):
        before = world.server.store.version
        decided = await world.run_pass()
        follow(world, decided)
        world.act()
        if rest.is_reached(world, before, decided):
            return decided
    raise AssertionError(f"not at rest after {MOST_PASSES} passes: {decided.actions} {decided.waits}")


def judge(world: World, decided: Plan) -> None:
    """The cluster against the KubeVirt object."""
    assert (decided.actions, decided.waits, decided.refused) == ((), (), None)
    if world.suite is None:
        event("removed")
        assert [ref for ref in world.owned if ref.name != FOREIGN] == [] and world.handlers == ()
        return
    wanted = install_settings(world.suite.spec, world.operator)
    event(wanted.tag)
    check_status(world, wanted.deployment_id)
    strategy = printed(wanted, wanted.deployment_id)
    bundle = world.suite.spec.get("configuration", {}).get("commonInstancetypesDeployment", {}).get("enabled", True)
    objects = [body for body in strategy.objects if bundle or body["kind"] not in DEFINED]
    bodies = customized(objects, patches_of(world.suite.spec))
    check_objects(world, bodies, wanted.deployment_id)
    daemon = next(body for body in bodies if body["kind"] == "DaemonSet")
    template_hash = daemon["spec"]["template"]["metadata"]["annotations"][TEMPLATE_HASH]
    assert {pod.node for pod in world.handlers} == set(NODES)
    assert {pod.metadata.annotations[TEMPLATE_HASH] for pod in world.handlers} == {template_hash}


def check_status(world: World, deployment_id: str) -> None:
    """The object says that everything is there."""
    suite = world.suite
    assert suite is not None
    assert KUBEVIRT_FINALIZER in suite.metadata.finalizers
    conditions = {condition.type: condition.status for condition in suite.status.conditions}
    assert (conditions["Available"], conditions["Progressing"], conditions["Degraded"]) == ("True", "False", "False")
    assert "Synchronized" not in conditions
    assert (suite.status.phase, suite.status.observed_deployment_id) == ("Deployed", deployment_id)
    assert suite.status.change is None


def check_objects(world: World, bodies: list[Body], deployment_id: str) -> None:
    """Every object is exactly as the release has it, and no other is there."""
    able = world.authority.able
    assert able is not None
    owned, bundle = world.owned, b64encode(able.bundle).decode()
    for body in bodies:
        live = owned[ref_of(body)].content()
        parts = {key: live.get(key) for key in desired_parts(body)}
        assert body["kind"] == "CustomResourceDefinition" or parts == desired_parts(trusting(body, bundle)), ref_of(
            body
        )
    served = world.prometheus.observed(world.suite).served
    kinds = {*served, "Role", "RoleBinding"} if MONITOR in served else served
    assert {ref.kind for ref in owned if is_monitoring(ref)} == kinds
    desired = {ref_of(body) for body in bodies} | {ref for ref in owned if is_monitoring(ref)}
    others = {ref for ref in owned if ref not in desired and ref.kind not in ("Secret", "CustomResourceDefinition")}
    back = world.suite.status.way_back if world.suite is not None else None
    kept = {name_of(back.deployment_id)} if back is not None else set()
    assert {ref.name for ref in others} <= {name_of(deployment_id), FOREIGN, *kept}

"""A guest whose annotation, or namespace, names the launcher of an older release starts, moves and stays with it."""

from __future__ import annotations

from typing import Any

import pytest
from virt_controller.caches import Caches
from virt_controller.launcher_default import launcher_default
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.launcher import launcher_of
from virt_controller.vmi.actions import CreatePod
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import EVENTS, KUBEVIRTS, NAMESPACES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.meta import ObjectMeta
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.validation.refusal import Refusal

from tests.unit.controller.migration_world import VMI, MigrationWorld
from tests.unit.controller.planning import EMULATION, NOW, PLANNER, SPEC, apply, observed, vmi
from tests.unit.controller.vm_world import KEY, TEMPLATE, VmWorld
from tests.unit.controller.world import World

PIN = "kubevirt.io/launcher-release"
OLD = "0.1.0-3f2a9c"
SERIAL = {"domain": {"devices": {"logSerialConsole": True}, "memory": {"guest": "64Mi"}}}


def created(annotations: dict[str, str], default: str = "", spec: Any = SPEC) -> dict[str, Any]:
    """The manifest of the pod."""
    seen = observed(vmi(spec=spec, annotations=annotations), (), EMULATION, NOW, launcher_default=default)
    (manifest,) = [action.manifest for action in PLANNER.plan(seen) if isinstance(action, CreatePod)]
    return manifest


def image(annotations: dict[str, str], default: str = "") -> str:
    return str(created(annotations, default)["spec"]["containers"][0]["image"])


def refusal(annotations: dict[str, str], default: str = "") -> str:
    """The condition of a guest for which no pod is created."""
    subject = vmi(annotations=annotations)
    patch, _ = PLANNER.plan(observed(subject, (), EMULATION, NOW, launcher_default=default))
    conditions = {found["type"]: found for found in apply(subject, patch)["status"]["conditions"]}
    assert conditions["Synchronized"]["reason"] == "UnsupportedSpec"
    return str(conditions["Synchronized"]["message"])


def test_all_of_a_pinned_guests_pod_is_of_the_named_launcher_and_says_so() -> None:
    pod = created({PIN: OLD}, spec=SERIAL)
    launcher = f"registry.test/virt-launcher:{OLD}"
    assert [container["image"] for container in pod["spec"]["containers"]] == [launcher, launcher]
    assert {container["imagePullPolicy"] for container in pod["spec"]["containers"]} == {"IfNotPresent"}
    assert pod["metadata"]["annotations"]["kubevirt.io/launcher-image"] == launcher
    assert PIN not in pod["metadata"]["annotations"]


def test_the_guests_annotation_counts_before_its_namespaces_and_an_empty_one_means_the_suites() -> None:
    assert image({}) == "registry.test/virt-launcher:1"
    assert image({}, "0.1.0") == "registry.test/virt-launcher:0.1.0"
    assert image({PIN: OLD}, "0.1.0") == f"registry.test/virt-launcher:{OLD}"
    assert image({PIN: ""}, "0.1.0") == "registry.test/virt-launcher:1"


@pytest.mark.parametrize(
    "own", ["host:5000/a/virt-launcher:2", "host:5000/a/virt-launcher@sha256:12", "host:5000/a/virt-launcher"]
)
def test_the_named_launcher_is_in_the_repository_of_the_suites_own(own: str) -> None:
    found = launcher_of(ObjectMeta("a", annotations={PIN: "0.1.0"}), "", LauncherSettings(own, "Always", ("secret",)))
    assert found == LauncherSettings("host:5000/a/virt-launcher:0.1.0", "Always", ("secret",))


def test_a_launcher_that_this_release_does_not_start_is_a_condition_that_names_who_asks_for_it() -> None:
    why = "'0.0.9' is not allowed, use the tag of a launcher's image that begins with 0.1.0"
    assert refusal({PIN: "0.0.9"}).startswith(f"metadata.annotations.{PIN}: {why}")
    assert refusal({}, "0.0.9").startswith(f"Namespace ns: metadata.annotations.{PIN}: {why}")
    assert refusal({PIN: "0.0.9"}, "0.1.0").count("0.0.9") == 1
    assert isinstance(launcher_of(ObjectMeta("a"), "latest", LauncherSettings("a", "")), Refusal)


def put_namespace(server: FakeApiServer, tag: str) -> None:
    server.put(NAMESPACES.path(), {"metadata": {"name": "ns", "annotations": {PIN: tag}}})


async def test_a_namespaces_annotation_reaches_the_pods_of_its_new_guests(
    server: FakeApiServer, client: KubeClient
) -> None:
    put_namespace(server, "0.1.0")
    server.store.remove(Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt")))  # the world brings its own
    world = World(server)
    await world.settle(client)
    (pod,) = world.pods
    assert pod["spec"]["containers"][0]["image"] == "registry.test/virt-launcher:0.1.0"
    world.bind(pod, "node1")
    await world.settle(client)
    assert world.status["launcherContainerImageVersion"] == "registry.test/virt-launcher:0.1.0"


async def test_a_namespace_that_the_cache_has_not_seen_is_read(server: FakeApiServer, client: KubeClient) -> None:
    put_namespace(server, "0.1.0")
    unseen = Caches(client, "kubevirt").namespaces
    assert await launcher_default(client, unseen, "ns") == "0.1.0"
    assert await launcher_default(client, unseen, "other") == ""


async def test_a_pinned_guest_moves_to_a_pod_of_the_named_launcher(server: FakeApiServer, client: KubeClient) -> None:
    world = MigrationWorld(server)
    server.store.merge_patch(
        Place.parse(VIRTUAL_MACHINE_INSTANCES.path(*VMI)), {"metadata": {"annotations": {PIN: OLD}}}
    )
    await world.settle(client)
    assert world.target["spec"]["containers"][0]["image"] == f"registry.test/virt-launcher:{OLD}"


async def test_a_guest_does_not_move_if_the_named_launcher_is_not_started_any_more(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = MigrationWorld(server)
    server.store.merge_patch(Place.parse(NAMESPACES.path(None, "ns")), {"metadata": {"annotations": {PIN: "0.0.9"}}})
    await world.settle(client)
    assert world.phase == "Failed"
    notes = [event["note"] for event in server.store.select(Place.parse(EVENTS.path("ns")), lambda _: True)]
    assert any(f"Namespace ns: metadata.annotations.{PIN}: '0.0.9' is not allowed" in note for note in notes)


async def running(server: FakeApiServer, client: KubeClient, own: str | None, template: str | None) -> VmWorld:
    """A VirtualMachine that runs; `own`, `template`: the annotation of it and of its template."""
    metadata = {**TEMPLATE["metadata"], "annotations": {PIN: template} if template is not None else {}}
    world = VmWorld(server, strategy="Halted", template={**TEMPLATE, "metadata": metadata})
    annotate(server, own)
    server.store.merge_patch(Place.parse(VIRTUAL_MACHINES.path(*KEY)), {"spec": {"runStrategy": "Always"}})
    await world.settle(client)
    world.report("Running", conditions=[{"type": "Ready", "status": "True"}])
    await world.settle(client)
    return world


def annotate(server: FakeApiServer, tag: str | None) -> None:
    """A user annotates the VirtualMachine."""
    server.store.merge_patch(Place.parse(VIRTUAL_MACHINES.path(*KEY)), {"metadata": {"annotations": {PIN: tag}}})


def annotate_template(server: FakeApiServer, tag: str | None) -> None:
    """A user annotates its template."""
    body = {"spec": {"template": {"metadata": {"annotations": {PIN: tag}}}}}
    server.store.merge_patch(Place.parse(VIRTUAL_MACHINES.path(*KEY)), body)


@pytest.mark.parametrize(
    ("own", "template", "expected"),
    [(None, None, None), (OLD, None, OLD), (None, OLD, OLD), ("0.1.0", OLD, OLD), (OLD, "", "")],
)
async def test_a_vms_guest_gets_the_annotation_of_the_template_before_that_of_the_vm(
    server: FakeApiServer, client: KubeClient, own: str | None, template: str | None, expected: str | None
) -> None:
    world = await running(server, client, own, template)
    assert world.vmi["metadata"]["annotations"].get(PIN) == expected


async def test_a_changed_annotation_follows_to_the_running_guest_without_a_restart(
    server: FakeApiServer, client: KubeClient
) -> None:
    world = await running(server, client, OLD, None)
    uid = world.vmi["metadata"]["uid"]
    annotate(server, None)
    await world.settle(client)
    assert PIN not in world.vmi["metadata"]["annotations"]
    annotate_template(server, "0.1.0")
    await world.settle(client)
    assert (world.vmi["metadata"]["annotations"][PIN], world.vmi["metadata"]["uid"]) == ("0.1.0", uid)
    assert not world.condition("RestartRequired")
    assert world.status["observedGeneration"] == world.vm["metadata"]["generation"]

"""The pod to which a guest migrates differs from its first one in what KubeVirt's does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import LauncherPod
from virt_controller.pod.target import NoDigest, pinned, target_pod
from virt_controller.pod.template import launcher_pod
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

EMULATION = Configuration(DeveloperConfiguration(use_emulation=True))
LAUNCHER = LauncherSettings("registry.test/virt-launcher:2", "IfNotPresent")
DIGEST = "sha256:" + "a" * 64
DISK = {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]}
VOLUMES = [{"name": "root", "containerDisk": {"image": "registry.test:5000/fedora:40"}}]


def manifest(spec: dict[str, Any] | None = None, devices: dict[str, Any] | None = None) -> dict[str, Any]:
    wanted = {"domain": {"devices": devices or {}, "memory": {"guest": "64Mi"}}, **(spec or {})}
    body = {"metadata": {"name": "guest", "namespace": "ns", "uid": "vmi-uid"}, "spec": wanted}
    vmi = msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstance)
    return launcher_pod(vmi, accept(vmi.raw_spec, EMULATION), LAUNCHER, EMULATION, {})


def migration(**spec: Any) -> VirtualMachineInstanceMigration:
    body = {"metadata": {"name": "job", "namespace": "ns", "uid": "job-uid"}, "spec": {"vmiName": "guest", **spec}}
    return msgspec.json.decode(msgspec.json.encode(body), type=VirtualMachineInstanceMigration)


def source(image_id: str = "", kind: str = "containerStatuses") -> LauncherPod:
    statuses = [{"name": "volumeroot", "imageID": image_id}]
    return msgspec.convert({"metadata": {"name": "source"}, "status": {kind: statuses}}, LauncherPod)


def test_it_is_known_by_its_migration_and_has_a_name_of_its_own() -> None:
    first = manifest()
    made = target_pod(first, migration(), "guest", source())
    assert made["metadata"]["labels"] == {**first["metadata"]["labels"], "kubevirt.io/migrationJobUID": "job-uid"}
    assert made["metadata"]["annotations"]["kubevirt.io/migrationJobName"] == "job"
    assert made["metadata"]["name"] != first["metadata"]["name"]
    assert made["metadata"]["name"].startswith("virt-launcher-guest-")
    assert made["metadata"]["ownerReferences"] == first["metadata"]["ownerReferences"]
    assert made["spec"]["readinessGates"] == [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]


def test_it_keeps_apart_from_every_pod_of_its_machine_and_keeps_the_users_affinity() -> None:
    mine = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [mine]}}
    made = target_pod(manifest({"affinity": affinity}), migration(), "guest", source())
    required = made["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    created_by = {"matchLabels": {"kubevirt.io/created-by": "vmi-uid"}}
    assert required == [mine, {"labelSelector": created_by, "topologyKey": "kubernetes.io/hostname"}]


def test_it_may_be_on_the_same_node_where_that_is_wanted() -> None:
    assert "affinity" not in target_pod(manifest(), migration(), "guest", source(), same_node=True)["spec"]


def test_a_migrations_node_selector_only_narrows() -> None:
    job = migration(addedNodeSelector={"kubevirt.io/schedulable": "false", "disk": "fast", "own": "theirs"})
    made = target_pod(manifest({"nodeSelector": {"own": "mine"}}), job, "guest", source())
    wanted = {"kubernetes.io/arch": "amd64", "kubevirt.io/schedulable": "true", "disk": "fast", "own": "mine"}
    assert made["spec"]["nodeSelector"] == wanted


@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses"])  # the latter in older pods
def test_images_of_the_user_are_those_that_the_guest_runs_with_and_the_launcher_is_todays(kind: str) -> None:
    first = manifest({"volumes": VOLUMES}, DISK)
    made = target_pod(first, migration(), "guest", source(f"registry.test:5000/fedora@{DIGEST}", kind))
    compute, disk = made["spec"]["containers"]
    assert disk["image"] == f"registry.test:5000/fedora@{DIGEST}"
    assert compute == first["spec"]["containers"][0] and compute["image"] == LAUNCHER.image


@pytest.mark.parametrize("image_id", ["", DIGEST])
def test_an_image_without_a_digest_is_named(image_id: str) -> None:
    with pytest.raises(NoDigest, match="volumeroot: no digest is known of image registry"):
        target_pod(manifest({"volumes": VOLUMES}, DISK), migration(), "guest", source(image_id))


@pytest.mark.parametrize(
    ("image", "image_id", "wanted"),
    [
        ("fedora", f"docker.io/library/fedora@{DIGEST}", f"fedora@{DIGEST}"),
        ("r:5000/a/fedora:40", f"docker-pullable://r:5000/a/fedora@{DIGEST}", f"r:5000/a/fedora@{DIGEST}"),
        ("r:5000/fedora", f"elsewhere/fedora@{DIGEST}", f"r:5000/fedora@{DIGEST}"),
        (f"fedora@{DIGEST}", "", f"fedora@{DIGEST}"),
        ("fedora:40", DIGEST, ""),
    ],
)
def test_an_image_is_pinned_under_the_users_name(image: str, image_id: str, wanted: str) -> None:
    assert pinned(image, image_id) == wanted

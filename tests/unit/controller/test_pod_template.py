"""The launcher pod of a spec: mounts, containers beside the launcher, resource requests."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import Claim
from virt_controller.pod.resources import overhead_bytes
from virt_controller.pod.template import VOLUME_STATUS, launcher_pod
from virt_core.conventions import labels
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration, LogVerbosity
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

LAUNCHER = LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent", ("cluster-secret",))
EMULATION = Configuration(DeveloperConfiguration(use_emulation=True))
FILES = msgspec.convert({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"capacity": {"storage": "1Gi"}}}, Claim)
DEVICE = msgspec.convert({"spec": {"volumeMode": "Block"}}, Claim)


def made(
    spec: dict[str, Any],
    claims: dict[str, Claim] | None = None,
    configuration: Configuration = EMULATION,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The pod of a spec with 64 Mi of memory; `domain` parts are put beside it."""
    domain = {"devices": {"autoattachGraphicsDevice": False}, "memory": {"guest": "64Mi"}, **spec.pop("domain", {})}
    about = {"name": "guest", "namespace": "ns", "uid": "u", **(metadata or {})}
    body = {"metadata": about, "spec": {"domain": domain, **spec}}
    vmi = msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)
    pod: dict[str, Any] = launcher_pod(vmi, accept(vmi.raw_spec, configuration), LAUNCHER, configuration, claims or {})
    return pod


def compute(pod: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod["spec"]["containers"][0]
    return container


def beside(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers that start after the launcher's."""
    containers: list[dict[str, Any]] = pod["spec"]["containers"][1:]
    return containers


def mounts(pod: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """By pod volume: where the launcher has it, and whether it may only read."""
    return {
        volumeMount["name"]: (volumeMount["mountPath"], volumeMount.get("readOnly", False))
        for volumeMount in compute(pod)["volumeMounts"]
    }


def source(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == name]
    return {key: value for key, value in found.items() if key != "name"}


def test_a_launcher_logs_by_default_unless_labels_annotation_or_cluster_ask_for_more() -> None:
    assert "env" not in compute(made({}))
    verbose = msgspec.structs.replace(
        EMULATION,
        developer_configuration=DeveloperConfiguration(use_emulation=True, log_verbosity=LogVerbosity(virt_launcher=4)),
    )
    assert compute(made({}, configuration=verbose))["env"] == [{"name": "VIRT_LAUNCHER_LOG_VERBOSITY", "value": "4"}]
    quiet = made({}, configuration=verbose, metadata={"labels": {"logVerbosity": "0"}})
    assert compute(quiet)["env"] == [{"name": "VIRT_LAUNCHER_LOG_VERBOSITY", "value": "0"}]
    filtered = made({}, metadata={"annotations": {"kubevirt.io/libvirt-log-filters": "1:qemu"}})
    assert compute(filtered)["env"] == [{"name": "VIRT_LAUNCHER_LIBVIRT_LOG_FILTERS", "value": "1:qemu"}]


def keys_in(secret: str, **method: Any) -> dict[str, Any]:
    return {"sshPublicKey": {"source": {"secret": {"secretName": secret}}, "propagationMethod": method}}


def passwords_in(secret: str) -> dict[str, Any]:
    method = {"qemuGuestAgent": {}}
    return {"userPassword": {"source": {"secret": {"secretName": secret}}, "propagationMethod": method}}


def test_each_secret_with_access_credentials_is_mounted_once_read_only() -> None:
    agent = {"users": ["core"]}
    pod = made(
        {
            "accessCredentials": [
                keys_in("some.keys", qemuGuestAgent=agent),
                keys_in("some.keys", qemuGuestAgent={"users": ["root"]}),
                passwords_in("passwords"),
            ]
        }
    )
    folder = "/var/run/kubevirt/access-credentials"
    assert mounts(pod)["access-credential-0"] == (f"{folder}/some.keys", True)
    assert mounts(pod)["access-credential-1"] == (f"{folder}/passwords", True)
    assert source(pod, "access-credential-0") == {"secret": {"secretName": "some.keys"}}
    assert len(pod["spec"]["volumes"]) == 4


def test_libvirt_logs_no_message_to_the_guest_agent_of_a_guest_with_passwords() -> None:
    filtered = {"annotations": {"kubevirt.io/libvirt-log-filters": "1:*"}}
    pod = made({"accessCredentials": [passwords_in("s")]}, metadata=filtered)
    (variable,) = compute(pod)["env"]
    *first, last = variable["value"].split()
    assert {"3:qemu.qemu_agent", "3:libvirt-qemu"} <= set(first)
    assert last == "1:*"
    assert "env" not in compute(made({"accessCredentials": [passwords_in("s")]}))


def test_a_guest_without_volumes_has_one_container_in_namespaces_of_its_own() -> None:
    pod = made({})
    assert beside(pod) == [] and "shareProcessNamespace" not in pod["spec"]
    assert "lifecycle" not in compute(pod)
    assert set(mounts(pod)) == {"private", "sockets"}
    assert VOLUME_STATUS not in pod["metadata"]["annotations"]


def test_a_container_disk_is_a_container_of_the_users_image_that_runs_only_our_programs() -> None:
    disk = {"image": "registry.test/disk:1", "imagePullSecret": "own-secret", "imagePullPolicy": "Always"}
    pod = made({"volumes": [{"name": "root", "containerDisk": disk}]})
    (container,) = beside(pod)
    assert (container["name"], container["image"]) == ("volumeroot", disk["image"])
    folder = "/var/run/kubevirt/helpers"
    socket = "/var/run/kubevirt/container-disks/root.sock"
    assert container["command"] == [f"{folder}/attendant", "always", f"{folder}/container-disk", socket]
    assert container["imagePullPolicy"] == "Always"
    assert pod["spec"]["shareProcessNamespace"] is True
    assert mounts(pod)["container-disks"] == ("/var/run/kubevirt/container-disks", False)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "cluster-secret"}, {"name": "own-secret"}]


def test_no_other_container_starts_before_the_launchers_has_installed_their_programs() -> None:
    """It runs a postStart hook to its end before it starts the next container. A pod without init containers: the
    kubelet would notice up to a second later that one has ended."""
    pod = made(everything())
    assert "initContainers" not in pod["spec"] and pod["spec"]["restartPolicy"] == "Never"
    names = [container["name"] for container in pod["spec"]["containers"]]
    assert names == ["compute", "volumeroot", "kernel-boot", "guest-console-log"]
    program, install, *installed = compute(pod)["lifecycle"]["postStart"]["exec"]["command"]
    assert (program, install) == ("/usr/lib/kubevirt/attendant", "install")
    folder, read_only = mounts(pod)["helpers"]
    assert not read_only
    there = {f"{folder}/{path.rpartition('/')[2]}" for path in (program, *installed)}
    for container in beside(pod):
        needed = {path for path in container["command"] if path.startswith(folder)}
        assert needed <= there
        assert {"name": "helpers", "mountPath": folder, "readOnly": True} in container["volumeMounts"]


def test_a_kernel_is_copied_once() -> None:
    (container,) = beside(made({"domain": {"firmware": {"kernelBoot": {"container": {**KERNEL, "initrdPath": "/i"}}}}}))
    folder = "/var/run/kubevirt/kernel-boot"
    assert container["command"][1] == "once"
    assert container["command"][3:] == ["/boot/vmlinuz", f"{folder}/kernel", "/i", f"{folder}/initrd"]


def test_what_runs_beside_a_guaranteed_guest_is_guaranteed_too() -> None:
    requirements = {"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "64Mi"}}
    disk = [{"name": "root", "containerDisk": {"image": "d"}}]
    (own,) = beside(made({"domain": {"resources": requirements}, "volumes": disk}))
    assert own["resources"]["requests"] == own["resources"]["limits"]
    requirements["limits"] = {"cpu": 2, "memory": "64Mi"}
    (own,) = beside(made({"domain": {"resources": requirements}, "volumes": disk}))
    assert own["resources"]["requests"] != own["resources"]["limits"]


def test_every_container_is_what_a_restricted_namespace_admits() -> None:
    containers = made(everything())["spec"]["containers"]
    assert len(containers) == 4
    for container in containers:
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"]} and security["allowPrivilegeEscalation"] is False
        assert security["runAsNonRoot"] is True and container["resources"]["requests"]["memory"]


KERNEL = {"image": "k", "kernelPath": "/boot/vmlinuz"}


def everything() -> dict[str, Any]:
    return {
        "domain": {"devices": {"logSerialConsole": True}, "firmware": {"kernelBoot": {"container": KERNEL}}},
        "volumes": [{"name": "root", "containerDisk": {"image": "d"}}],
    }


def test_claims_are_file_systems_or_devices_and_the_handler_learns_their_mode() -> None:
    volumes = [
        {"name": "files", "persistentVolumeClaim": {"claimName": "c1"}},
        {"name": "device", "persistentVolumeClaim": {"claimName": "c2"}},
        {"name": "base", "ephemeral": {"persistentVolumeClaim": {"claimName": "c3"}}},
        {"name": "data", "dataVolume": {"name": "c2"}},
    ]
    pod = made({"volumes": volumes}, {"c1": FILES, "c2": DEVICE, "c3": FILES})
    assert mounts(pod)["volume-files"] == ("/var/run/kubevirt/volumes/files", False)
    assert mounts(pod)["volume-base"] == ("/var/run/kubevirt/volumes/base", True)
    assert compute(pod)["volumeDevices"] == [
        {"name": "volume-device", "devicePath": "/dev/kubevirt/device"},
        {"name": "volume-data", "devicePath": "/dev/kubevirt/data"},
    ]
    status = json.loads(pod["metadata"]["annotations"][VOLUME_STATUS])
    assert [(volume["name"], volume["persistentVolumeClaimInfo"]["volumeMode"]) for volume in status] == [
        ("files", "Filesystem"),
        ("device", "Block"),
        ("base", "Filesystem"),
        ("data", "Block"),
    ]
    assert status[0]["persistentVolumeClaimInfo"]["capacity"] == {"storage": "1Gi"}


def test_secrets_and_their_like_are_mounted_for_the_launcher_to_read_only() -> None:
    volumes = [
        {"name": "config", "configMap": {"name": "m", "optional": True}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "token", "serviceAccount": {"serviceAccountName": "robot"}},
        {"name": "labels", "downwardAPI": {"fields": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {
            "name": "cloud",
            "cloudInitNoCloud": {"secretRef": {"name": "user"}, "networkDataSecretRef": {"name": "network"}},
        },
    ]
    pod = made({"volumes": volumes})
    assert source(pod, "volume-config") == {"configMap": {"name": "m", "optional": True}}
    assert source(pod, "volume-secret") == {"secret": {"secretName": "s"}}
    assert source(pod, "volume-cloud-userdata") == {"secret": {"secretName": "user"}}
    assert source(pod, "volume-cloud-networkdata") == {"secret": {"secretName": "network"}}
    assert source(pod, "volume-labels")["downwardAPI"]["items"][0]["path"] == "l"
    assert pod["spec"]["serviceAccountName"] == "robot" and pod["spec"]["automountServiceAccountToken"] is False
    assert all(read_only for name, (_, read_only) in mounts(pod).items() if name.startswith("volume-"))
    assert mounts(pod)["volume-cloud-userdata"][0] == "/var/run/kubevirt/volumes/cloud/userdata"


def test_the_cost_of_running_a_guest_comes_on_top_of_what_it_asks_for() -> None:
    plain = compute(made({}))["resources"]
    domain = {"devices": {"autoattachGraphicsDevice": False}, "memory": {"guest": "64Mi"}}
    overhead = overhead_bytes(accept({"domain": domain}, EMULATION), EMULATION)
    assert int(plain["requests"]["memory"]) == (64 << 20) + overhead
    assert plain["requests"]["cpu"] == "100m" and "memory" not in plain["limits"]
    resources = {"requests": {"memory": "32Mi", "cpu": "500m"}, "limits": {"memory": "128Mi"}}
    requirements = compute(made({"domain": {"resources": resources}}))["resources"]
    overhead += 32 << 20  # of a limited pod: virt-freezer, which a backup runs in it, must not end the guest
    assert int(requirements["requests"]["memory"]) == (32 << 20) + overhead
    assert int(requirements["limits"]["memory"]) == (128 << 20) + overhead
    assert requirements["requests"]["cpu"] == "500m"
    overcommitted = {**resources, "overcommitGuestOverhead": True}
    assert int(compute(made({"domain": {"resources": overcommitted}}))["resources"]["requests"]["memory"]) == 32 << 20


@pytest.mark.parametrize(
    ("more", "megabytes"),
    [
        ({"domain": {"devices": {}}}, 32),  # a display
        ({"domain": {"devices": {"autoattachGraphicsDevice": False}, "cpu": {"cores": 4}}}, 3 * 4),
        ({"livenessProbe": {"guestAgentPing": {}}, "readinessProbe": {"exec": {"command": ["true"]}}}, 2 * 32),
        ({"readinessProbe": {"tcpSocket": {"port": 22}}}, 0),  # the kubelet runs nothing in the pod for it
    ],
)
def test_what_a_machine_has_besides_costs_memory_of_its_own(more: dict[str, Any], megabytes: int) -> None:
    plain, larger = (int(compute(made(spec))["resources"]["requests"]["memory"]) for spec in ({}, more))
    assert larger - plain == megabytes << 20


def test_the_cluster_may_overcommit_memory_and_cpus() -> None:
    generous = Configuration(DeveloperConfiguration(True, memory_overcommit=200, cpu_allocation_ratio=20))
    wide = {"cpu": {"cores": 4}, "memory": {"guest": "128Mi"}}
    tight, loose = (compute(made({"domain": dict(wide)}, configuration=c))["resources"] for c in (EMULATION, generous))
    assert int(tight["requests"]["memory"]) - int(loose["requests"]["memory"]) == 64 << 20
    assert (tight["requests"]["cpu"], loose["requests"]["cpu"]) == ("400m", "200m")


def test_huge_pages_are_the_guests_memory_and_ordinary_memory_the_cost_of_running_it() -> None:
    pod = made({"domain": {"memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}})
    requirements = compute(pod)["resources"]
    assert requirements["requests"]["hugepages-2Mi"] == requirements["limits"]["hugepages-2Mi"] == str(64 << 20)
    assert int(requirements["requests"]["memory"]) > 64 << 20  # of overhead alone
    assert "hugepages" not in mounts(pod)  # QEMU has them without a file system


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"tcpSocket": {"port": 22}}, {"tcpSocket": {"port": 22}, "timeoutSeconds": 1}),
        (
            {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 3, "timeoutSeconds": 4},
            {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 3, "timeoutSeconds": 4},
        ),
        (
            {"guestAgentPing": {}},
            {"exec": {"command": ["/usr/lib/kubevirt/virt-probe", "guest-agent-ping", "--timeout", "1"]}},
        ),
        (
            {"exec": {"command": ["cat", "/x"]}, "timeoutSeconds": 5},
            {"exec": {"command": ["/usr/lib/kubevirt/virt-probe", "exec", "--timeout", "5", "--", "cat", "/x"]}},
        ),
    ],
)
def test_probes_are_the_pods_own_or_ask_through_the_guest_agent(probe: Any, expected: dict[str, Any]) -> None:
    found = compute(made({"readinessProbe": probe}))["readinessProbe"]
    assert {key: found[key] for key in expected} == expected


def test_placement_names_and_dns_are_passed_on() -> None:
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    passed = {
        "subdomain": "sub",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.1"]},
        "topologySpreadConstraints": spread,
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "priorityClassName": "high",
        "schedulerName": "mine",
    }
    spec = made({**passed, "hostname": "box", "nodeSelector": {"disk": "fast"}})["spec"]
    assert {key: spec[key] for key in passed} == passed
    assert spec["hostname"] == "box" and spec["nodeSelector"]["disk"] == "fast"
    assert spec["nodeSelector"]["kubevirt.io/schedulable"] == "true"


def test_services_select_the_pod_by_the_id_that_virtctl_computes() -> None:
    assert made({})["metadata"]["labels"]["vmi.kubevirt.io/id"] == "guest"
    assert labels.vmi_id("a" * 63) == "a" * 63
    assert labels.vmi_id("a" * 70) == "a" * 54 + "-ed6c69d9"  # of sha1sum

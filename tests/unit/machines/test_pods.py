"""The launcher pod of every accepted spec is consistent."""

from __future__ import annotations

from hypothesis import given, settings
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import DNS_LABEL

from tests.samples.launcher_pods import fitting_modes, pod
from tests.samples.vmis import Spec, supported

NONE = Configuration()


@settings(max_examples=60, deadline=None)
@given(supported())
def test_names_are_labels_of_their_own_and_every_mount_has_its_volume(spec: Spec) -> None:
    for mode in fitting_modes(spec):
        body = pod(spec, mode)["spec"]
        containers = body["containers"]
        volumes = [volume["name"] for volume in body["volumes"]]
        for names in (volumes, [container["name"] for container in containers]):
            assert len(set(names)) == len(names), names
            assert all(DNS_LABEL.accepts(name) for name in names), names
        used = [mount["name"] for container in containers for mount in container.get("volumeMounts", [])]
        used += [device["name"] for container in containers for device in container.get("volumeDevices", [])]
        assert set(used) == set(volumes)
        for container in containers:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(set(paths)) == len(paths), paths


def test_long_names_that_begin_the_same_stay_apart() -> None:
    names = ["x" * 63, "x" * 62, "x" * 57 + "-a"]
    for source in ({"configMap": {"name": "c"}}, {"containerDisk": {"image": "i"}}):
        body = pod(
            {
                "domain": {"devices": {}, "memory": {"guest": "64Mi"}},
                "volumes": [{"name": name, **source} for name in names],
            }
        )["spec"]
        for part in ("volumes", "containers"):
            found = [entry["name"] for entry in body.get(part, [])]
            assert len(set(found)) == len(found)
            assert all(DNS_LABEL.accepts(name) for name in found)


def test_ports_that_an_interface_names_are_the_containers() -> None:
    ports = [{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"}]
    devices = {"interfaces": [{"name": "default", "masquerade": {}, "ports": ports}]}
    spec = {
        "domain": {"devices": devices, "memory": {"guest": "64Mi"}},
        "readinessProbe": {"httpGet": {"port": "http"}},
    }
    (compute,) = pod(spec)["spec"]["containers"]
    assert compute["ports"] == [
        {"name": "http", "containerPort": 80, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "UDP"},
    ]
    assert compute["readinessProbe"]["httpGet"] == {"port": "http"}

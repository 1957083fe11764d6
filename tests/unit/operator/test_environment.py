"""Templates of the components' pods and the settings of their processes agree on variables, ports and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import virt_api.settings
import virt_controller.settings
import virt_handler.settings
import virt_operator.settings
from virt_core.settings import BadSetting
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.ref import Body

from tests.unit.operator.suites import INSTALL

READERS: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "virt-operator": virt_operator.settings.Settings.from_environment,
    "virt-api": virt_api.settings.Settings.from_environment,
    "virt-controller": virt_controller.settings.Settings.from_environment,
    "virt-handler": virt_handler.settings.Settings.from_environment,
}


class Recorder(Mapping[str, str]):
    """A template's variables, and which of them were read."""

    def __init__(self, container: Body) -> None:
        self._values = {entry["name"]: entry.get("value", "of-the-pod") for entry in container["env"]}
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def container_of(component: str) -> Body:
    bodies = [*desired_objects(INSTALL), *operator_objects(INSTALL)]
    (workload,) = (b for b in bodies if b["kind"] in ("Deployment", "DaemonSet") and b["metadata"]["name"] == component)
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    body: Body = container
    return body


@pytest.mark.parametrize("component", READERS)
def test_a_template_sets_what_its_component_reads_and_nothing_else(component: str) -> None:
    variables = Recorder(container_of(component))
    READERS[component](variables)
    assert set(variables) - variables.read == set()


@pytest.mark.parametrize("component", READERS)
def test_a_component_listens_on_the_ports_of_its_template_and_reads_its_mounts(component: str) -> None:
    container = container_of(component)
    settings = READERS[component](Recorder(container))
    values = {name: getattr(settings, name) for name in settings.__slots__}
    listens = {
        port for name, port in values.items() if name in ("rpc_port", "health_port", "metrics_port", "https_port")
    }
    assert {port["containerPort"] for port in container["ports"]} == listens
    folders = {str(value) for value in values.values() if isinstance(value, Path)}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == folders


@pytest.mark.parametrize("component", READERS)
def test_what_only_the_template_knows_is_required(component: str) -> None:
    for entry in container_of(component)["env"]:
        if "valueFrom" in entry:
            rest = {name: "x" for name in ("POD_NAMESPACE", "POD_NAME", "NODE_NAME") if name != entry["name"]}
            images = {"VIRT_OPERATOR_IMAGE": "virt-operator:v1", "VIRT_LAUNCHER_IMAGE": "virt-launcher:v1"}
            with pytest.raises(BadSetting, match=f"{entry['name']}: '' is not allowed"):
                READERS[component]({**rest, **images})


def test_service_links_of_the_kubelet_are_no_settings() -> None:
    # Seen in a real pod: links of a Service "virt-api" look like settings of the program of that name.
    links = {"VIRT_API_PORT": "tcp://10.96.0.7:443", "VIRT_API_SERVICE_PORT": "443", "POD_NAMESPACE": "suite"}
    settings = virt_api.settings.Settings.from_environment(links)
    assert (settings.https_port, settings.namespace) == (8443, "suite")

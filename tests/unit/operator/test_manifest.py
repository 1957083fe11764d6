"""The two files that users apply."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from virt_core.settings import BadSetting
from virt_operator.packaging.manifest import write_manifests
from virt_operator.settings import parse_image
from virt_operator.strategy.desired import desired_objects

from tests.unit.operator.suites import INSTALL


def test_manifests_are_deterministic_and_complete(tmp_path: Path) -> None:
    first = write_manifests(INSTALL, tmp_path / "a", use_emulation=True)
    second = write_manifests(INSTALL, tmp_path / "b", use_emulation=True)
    assert [path.name for path in first] == ["kubevirt-operator.yaml", "kubevirt-cr.yaml"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    objects = list(yaml.safe_load_all(first[0].read_text()))
    assert [body["kind"] for body in objects[:3]] == ["Namespace", "PriorityClass", "CustomResourceDefinition"]
    deployment = objects[-1]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example:5000/suite/virt-operator:v1.2.3"
    assert {"name": "VIRT_OPERATOR_IMAGE", "value": container["image"]} in container["env"]


@pytest.mark.parametrize("emulation", [True, False])
def test_kubevirt_object_decides_whether_guests_are_emulated(tmp_path: Path, emulation: bool) -> None:
    path = write_manifests(INSTALL, tmp_path, use_emulation=emulation)[1]
    spec = yaml.safe_load(path.read_text())["spec"]
    assert spec == {"configuration": {"developerConfiguration": {"useEmulation": emulation}}}


def test_only_the_handler_has_privileges() -> None:
    for body in desired_objects(INSTALL):
        if body["kind"] not in ("Deployment", "DaemonSet"):
            continue
        context = body["spec"]["template"]["spec"]["containers"][0]["securityContext"]
        if body["metadata"]["name"] == "virt-handler":
            assert context["privileged"]
        else:
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"]
            assert context["runAsNonRoot"]


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("host:5000/path/virt-operator:v1", ("host:5000/path", "v1")),
        ("virt-operator:v1", ("", "v1")),
        ("host:5000/virt-operator@sha256:00", ("host:5000", "")),
        ("host:5000/virt-operator", ("host:5000", "")),
    ],
)
def test_registry_and_tag_come_from_the_operators_image(image: str, parts: tuple[str, str]) -> None:
    assert parse_image(image) == parts


def test_an_image_of_something_else_is_refused() -> None:
    with pytest.raises(BadSetting, match="other:v1"):
        parse_image("host/other:v1")

"""The two files that users apply."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from virt_core.settings import BadSetting
from virt_operator.packaging.manifest import write_manifests
from virt_operator.settings import Settings, parse_image
from virt_operator.strategy.desired import desired_objects
from virt_operator.suite.spec import install_settings

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
        ("host:5000/virt-operator:v1@sha256:00", ("host:5000", "v1")),
        ("host:5000/virt-operator", ("host:5000", "")),
    ],
)
def test_registry_and_tag_come_from_the_operators_image(image: str, parts: tuple[str, str]) -> None:
    assert parse_image(image) == parts


DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("virt-api", "virt-operator"))}


def test_images_with_a_digest_are_pulled_by_it_and_the_operator_learns_them(tmp_path: Path) -> None:
    install = msgspec.structs.replace(INSTALL, digests=DIGESTS)
    deployment = list(yaml.safe_load_all(write_manifests(install, tmp_path, use_emulation=True)[0].read_text()))[-1]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    reference = f"registry.example:5000/suite/virt-operator:v1.2.3@{DIGESTS['virt-operator']}"
    assert container["image"] == reference
    variables = {entry["name"]: entry.get("value", "of-the-pod") for entry in container["env"]}
    operator = Settings.from_environment(variables)
    assert (operator.registry, operator.tag, operator.digests) == (INSTALL.registry, INSTALL.tag, DIGESTS)
    assert install_settings({}, operator).image("virt-operator") == reference
    assert install_settings({}, operator).image("virt-handler") == "registry.example:5000/suite/virt-handler:v1.2.3"
    mirrored = install_settings({"imageRegistry": "mirror.example"}, operator)
    assert mirrored.image("virt-api") == f"mirror.example/virt-api:v1.2.3@{DIGESTS['virt-api']}"
    assert install_settings({"imageTag": "v2"}, operator).digests == {}, "those of another release are unknown"


def test_a_text_that_is_no_digest_is_refused_with_what_is_allowed() -> None:
    variables = {"VIRT_OPERATOR_IMAGE": "virt-operator:v1", "POD_NAMESPACE": "n", "POD_NAME": "p"}
    with pytest.raises(BadSetting, match=r"VIRT_IMAGE_DIGESTS: 'virt-api=v1' is not allowed, use name=sha256:"):
        Settings.from_environment({**variables, "VIRT_IMAGE_DIGESTS": "virt-api=v1"})
    assert Settings.from_environment({**variables, "VIRT_IMAGE_DIGESTS": ""}).digests == {}


def test_an_image_of_something_else_is_refused() -> None:
    with pytest.raises(BadSetting, match="other:v1"):
        parse_image("host/other:v1")

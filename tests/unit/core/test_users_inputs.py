"""Inputs of KubeVirt's users at admission."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import SECRET_FIELDS
from virt_core.vmi.admission import admit_create
from virt_core.vmi.annotations import REFUSED

SECRET = "hunter2"


def vmi(spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    domain = {"devices": {}, "memory": {"guest": "64Mi"}}
    return {"metadata": {"name": "guest", **meta}, "spec": {"domain": domain, **(spec or {})}}


def seed(**documents: Any) -> dict[str, Any]:
    disks = {"devices": {"disks": [{"name": "seed"}]}, "memory": {"guest": "64Mi"}}
    return vmi({"domain": disks, "volumes": [{"name": "seed", "cloudInitNoCloud": documents}]})


def messages(body: dict[str, Any]) -> list[str]:
    return [str(refusal) for refusal in admit_create(body, Configuration())]


@pytest.mark.parametrize("content", [b"#cloud-config\n" * 20, gzip.compress(b"#cloud-config\n", mtime=0), b"\xff\x00"])
@pytest.mark.parametrize("field", ["userDataBase64", "networkDataBase64"])
def test_base64_is_accepted_in_lines_and_of_any_bytes(field: str, content: bytes) -> None:
    encoded = base64.encodebytes(content).decode() + "\n"
    assert (
        messages(seed(userData="x", **{field: encoded}) if field.startswith("network") else seed(**{field: encoded}))
        == []
    )


@pytest.mark.parametrize(
    "body",
    [
        seed(userDataBase64=f"{SECRET}!"),
        seed(userData=SECRET + "x" * 2048),
        seed(userData=[SECRET]),
        seed(networkDataBase64=f"!{SECRET}", userData="x"),
        vmi({"domain": {"firmware": {"kernelBoot": {"kernelArgs": f"password={SECRET}\n", "container": None}}}}),
    ],
    ids=["base64", "too long", "wrong type", "network", "kernel arguments"],
)
def test_a_refusal_names_the_field_and_never_what_may_be_a_password(body: dict[str, Any]) -> None:
    found = messages(body)
    assert any(field in message for message in found for field in SECRET_FIELDS)
    assert not [message for message in found if SECRET in message]


@pytest.mark.parametrize("name", [*REFUSED, "kubevirt.io/func-test-virt-launcher-fail-fast"])
def test_an_annotation_that_asks_for_what_is_not_supported_is_refused_by_name(name: str) -> None:
    (message,) = messages(vmi(annotations={name: "x", "example.com/team": "storage"}))
    assert message.startswith(f"metadata.annotations.{name}: is not supported by this release")


def test_an_initrd_alone_is_accepted_and_nothing_at_all_is_not() -> None:
    def boot(**paths: str) -> dict[str, Any]:
        container = {"image": "registry.test/kernel", **paths}
        firmware = {"kernelBoot": {"container": container}}
        return vmi({"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "firmware": firmware}})

    assert messages(boot(initrdPath="/initrd")) == []
    (message,) = messages(boot())
    assert "kernelBoot.container.kernelPath" in message

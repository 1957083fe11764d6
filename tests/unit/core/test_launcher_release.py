"""Which older launchers a release starts guests with, and how a request for another one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from localcluster.releases import recorded
from virt_core.conventions import releases
from virt_core.conventions.releases import launcher_releases, minors_behind, version_of
from virt_core.instancetype.admission import admit as admit_instancetype
from virt_core.instancetype.matcher import Role
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.admission import admit
from virt_core.vmi.admission import admit_create, admit_update
from virt_core.vmi.launcher_release import launcher_image, why_no_launcher

PIN = "kubevirt.io/launcher-release"
FIELD = f"metadata.annotations.{PIN}"
NONE = Configuration()
SPEC: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}


def test_the_releases_that_are_known_are_those_of_releases_toml() -> None:
    assert tuple(release.version for release in recorded.releases()) == releases.RECORDED


def test_the_tag_of_each_recorded_releases_images_is_accepted() -> None:
    for release in recorded.releases():
        assert why_no_launcher(release.tag, release.version) == ""
        assert why_no_launcher(release.version, release.version) == ""


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("0.1.0", ("0.1.0",)),
        ("0.2.0", ("0.1.0", "0.2.0")),
        ("v0.3.1-rc.1", ("0.1.0", "0.3.1")),
        ("0.4.0", ("0.4.0",)),
        ("1.0.0", ("1.0.0",)),
        ("0.0.0-dev", ("0.1.0",)),
        ("unknown", ("0.1.0",)),
    ],
)
def test_a_release_starts_its_own_launchers_and_recorded_ones_of_at_most_two_releases_before(
    release: str, expected: tuple[str, ...]
) -> None:
    assert launcher_releases(release) == expected


@pytest.mark.parametrize(
    ("tag", "version"),
    [("0.1.0", "0.1.0"), ("v0.1.0", "0.1.0"), ("0.1.0-3f2a9c-trixie", "0.1.0"), ("0.1.01", "0.1.01"), ("latest", "")],
)
def test_a_tag_begins_with_the_version_of_its_release(tag: str, version: str) -> None:
    assert version_of(tag) == version


def test_versions_of_different_major_releases_are_not_compared() -> None:
    assert minors_behind("0.1.0", "0.3.0-rc.1") == 2
    assert minors_behind("0.1.0", "1.1.0") is None and minors_behind("latest", "0.1.0") is None


@pytest.mark.parametrize(
    "tag", ["0.2.0", "0.1.00", "0.1.0/../x", "0.1.0@sha256:00", "0.1.0-" + "a" * 128, "0.1.0 ", "latest"]
)
def test_a_tag_of_another_launcher_is_refused_with_what_is_allowed(tag: str) -> None:
    assert "begins with 0.1.0, for example 0.1.0-" in why_no_launcher(tag, "0.1.0")
    assert "begins with 0.1.0 or 0.3.0, for" in why_no_launcher(tag, "0.3.0")


def test_the_image_of_a_tag_is_in_the_repository_of_the_suites_own() -> None:
    assert launcher_image("host:5000/a/virt-launcher:2@sha256:12", "0.1.0") == "host:5000/a/virt-launcher:0.1.0"
    assert launcher_image("virt-launcher", "0.1.0") == "virt-launcher:0.1.0"


def vmi(tag: str | None) -> dict[str, Any]:
    annotations = {PIN: tag} if tag is not None else {}
    return {"metadata": {"name": "a", "annotations": annotations}, "spec": SPEC}


def vm(own: str | None, template: str | None, strategy: str = "Always") -> dict[str, Any]:
    return {"metadata": vmi(own)["metadata"], "spec": {"runStrategy": strategy, "template": vmi(template)}}


def fields(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    return [refusal.field for refusal in admit(new, old, NONE, is_own_account=False)]


def test_a_vmi_that_asks_for_another_launcher_is_refused_by_the_annotations_name() -> None:
    assert [refusal.field for refusal in admit_create(vmi("9.9.9"), NONE)] == [FIELD]
    assert [refusal.field for refusal in admit_update(vmi(None), vmi("9.9.9"), NONE, is_own_account=False)] == [FIELD]
    for new in ("0.1.0-3f2a9c", "", None):
        assert admit_create(vmi(new), NONE) == ()
        assert admit_update(vmi("9.9.9"), vmi(new), NONE, is_own_account=False) == ()


def test_a_vmi_whose_launcher_is_not_started_any_more_may_be_changed() -> None:
    assert admit_update(vmi("9.9.9"), vmi("9.9.9"), NONE, is_own_account=False) == ()


def test_a_vm_is_refused_by_the_name_of_its_own_annotation_or_of_its_templates() -> None:
    template = vm(None, "9.9.9")
    template["spec"]["template"]["metadata"].pop("name")
    assert f"spec.template.{FIELD}" in fields(template)
    without = vm("9.9.9", None)
    without["spec"]["template"]["metadata"].pop("name")
    assert FIELD in fields(without)


def test_a_vm_whose_launcher_is_not_started_any_more_can_be_halted_and_relabelled() -> None:
    old = vm("9.9.9", "9.9.9")
    assert fields(vm("9.9.9", "9.9.9", "Halted"), old) == []
    assert fields(vm("9.9.8", "9.9.9"), old) == [FIELD]
    assert fields(vm(None, "9.9.9"), old) == []


def test_an_instance_type_names_no_launcher() -> None:
    spec = {"cpu": {"guest": 1}, "memory": {"guest": "64Mi"}, "annotations": {PIN: "0.1.0"}}
    refusals = admit_instancetype(Role.INSTANCETYPE, {"metadata": {"name": "a"}, "spec": spec}, None)
    assert [refusal.field for refusal in refusals] == [f"spec.annotations.{PIN}"]

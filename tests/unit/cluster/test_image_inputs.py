"""What names an image: the tag follows every input; what reaches registries comes from the machine's settings."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from localcluster import base_image, build_settings, go_build, images, pause, settings, source_tag


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "VERSION").write_text("1.2.3\n")
    (tmp_path / "services" / "api").mkdir(parents=True)
    (tmp_path / "services" / "api" / "app.py").write_text("pass\n")
    (tmp_path / "README.md").write_text("not an input\n")
    return tmp_path


def test_the_tag_changes_with_an_input_and_only_then(source: Path) -> None:
    first = source_tag.source_tag(source)
    assert first.startswith("1.2.3-") and len(first) == len("1.2.3-") + 12
    (source / "README.md").write_text("changed\n")
    assert source_tag.source_tag(source) == first
    program = source / "services" / "api" / "app.py"
    program.chmod(0o755)
    executable = source_tag.source_tag(source)
    program.rename(program.with_name("main.py"))
    assert len({first, executable, source_tag.source_tag(source)}) == 3


def test_a_launcher_of_another_debian_has_another_tag_and_others_are_refused_by_name(source: Path) -> None:
    usual = source_tag.source_tag(source)
    assert base_image.launcher_suite({}) == base_image.launcher_suite({"LAUNCHER_BASE": ""}) == "trixie"
    assert source_tag.source_tag(source, base_image.launcher_suite({})) == usual
    other = base_image.launcher_suite({"LAUNCHER_BASE": "bookworm"})
    assert source_tag.source_tag(source, other) == f"{usual}-bookworm"
    with pytest.raises(settings.BadSetting, match="LAUNCHER_BASE: 'sid' is not allowed, use bookworm or trixie"):
        base_image.launcher_suite({"LAUNCHER_BASE": "sid"})


def test_the_binary_is_keyed_by_sources_and_not_by_other_files(tmp_path: Path) -> None:
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / name).write_text(name)
    first = go_build.key(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert go_build.key(tmp_path) == first
    (tmp_path / "go.sum").write_text("changed")
    assert go_build.key(tmp_path) != first


def test_pip_settings_are_merged_and_the_environment_wins() -> None:
    files = {"/etc/pip.conf": "[global]\nindex-url = https://a.example/simple\ncert = /somewhere/ca.pem\nuser = yes\n"}
    text = build_settings.pip_configuration(files, {"PIP_INDEX_URL": "https://b.example/simple", "PIP_USER": "1"})
    assert "index-url = https://b.example/simple\n" in text
    assert f"cert = {build_settings.CA_BUNDLE}\n" in text
    assert "user = " not in text


def test_only_debian_s_own_sources_of_the_suite_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "sources.list.d"
    listed.mkdir()
    monkeypatch.setattr(build_settings, "APT_SOURCES", tmp_path)
    (listed / "debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://d.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "\nTypes: deb\nURIs: http://d.example/debian\nSuites: trixie\nComponents: main\n"
    )
    (listed / "other.list").write_text("deb https://x.example/apt tool-bookworm main\n")
    (tmp_path / "sources.list").write_text("deb [arch=amd64] http://s.example/ bookworm-security main contrib\n")
    text = build_settings.debian_sources("bookworm")
    assert [line for line in text.splitlines() if line.startswith("URIs")] == [
        "URIs: http://d.example/debian",
        "URIs: http://s.example/",
    ]
    renamed = build_settings.renamed(text, "bookworm", "trixie")
    assert re.findall(r"(?m)^Suites: (.*)$", renamed) == ["trixie trixie-updates", "trixie-security"]
    assert "/debian\n" in renamed and "bookworm" not in renamed


def test_the_pause_archive_names_its_layer_by_digest() -> None:
    archive = pause.image_archive("pause", b"program", "localhost/pause:1")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}
    digest = "sha256:" + hashlib.sha256(files["layer.tar"]).hexdigest()
    assert json.loads(files["config.json"])["rootfs"]["diff_ids"] == [digest]
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == ["localhost/pause:1"]


def project(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((settings.PROJECT_ROOT / folder / "pyproject.toml").read_text())["project"]
    return found


def wanted_by(service: str) -> set[str]:
    """Names of the packages that a service's pyproject needs. protobuf comes with grpcio-status."""
    core = project("services/core")
    wanted = [
        *project("protos")["dependencies"],
        *core["dependencies"],
        *project(f"services/{service}")["dependencies"],
    ]
    for extra in re.findall(r"virt-core\[(.*)\]", " ".join(wanted)):
        wanted += [name for group in extra.split(",") for name in core["optional-dependencies"][group]]
    names = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in wanted}
    return names - {"virt-core", "kubevirt-protos", "protobuf"}


def containerfile(service: str) -> str:
    return (settings.PROJECT_ROOT / "services" / service / "Containerfile").read_text()


def installed_in(service: str) -> set[str]:
    listed = re.search(r"-c /src/constraints\.txt ([^&]+)&&", containerfile(service))
    assert listed is not None
    return set(listed[1].replace("\\", " ").split())


IN_PYTHON = ("api", "controller", "handler", "operator")


def test_images_have_the_packages_that_the_pyprojects_name() -> None:
    """Images install dependencies by name, apart from our own code, so that they are built once."""
    assert installed_in("launcher") == wanted_by("launcher")
    everything = set[str]().union(*map(wanted_by, IN_PYTHON))
    assert {service: installed_in(service) for service in IN_PYTHON} == dict.fromkeys(IN_PYTHON, everything)


def test_services_in_python_share_their_first_layers() -> None:
    """Whatever differs in these stages would be built, pulled and kept in memory once for each service."""
    beginnings = {
        re.sub(r"^#.*\n", "", containerfile(service)).partition("FROM dependencies AS code")[0] for service in IN_PYTHON
    }
    assert len(beginnings) == 1
    assert all(
        "\nFROM python\nCOPY --from=dependencies /opt/kubevirt /opt/kubevirt\n" in containerfile(s) for s in IN_PYTHON
    )
    files = {f"virt-{s}": settings.PROJECT_ROOT / "services" / s / "Containerfile" for s in (*IN_PYTHON, "launcher")}
    assert images.by_cost(files) == [["virt-launcher"], [f"virt-{service}" for service in IN_PYTHON]]

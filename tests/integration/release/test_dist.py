"""dist/, as `make release` wrote it: complete, true to itself, installable. `make test-all` makes it before."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from localcluster import clients, debian_packages
from localcluster.releases import archives, checksums, dist
from localcluster.settings import PROJECT_ROOT, Cluster

pytestmark = pytest.mark.slow

DIST = PROJECT_ROOT / "dist"
IMAGES = ("virt-api", "virt-controller", "virt-handler", "virt-launcher", "virt-operator")
HOOK = "helm.sh/hook"


@pytest.fixture(scope="module", autouse=True)
def written() -> None:
    assert (DIST / checksums.NAME).exists(), "run `make release`"


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    """Digest by image, of the archives."""
    return {name: archives.digest(DIST / "images" / f"{name}.tar") for name in IMAGES}


def version() -> str:
    return (PROJECT_ROOT / "VERSION").read_text().strip()


def operator_objects() -> list[Any]:
    return list(yaml.safe_load_all((DIST / "kubevirt-operator.yaml").read_text()))


def test_every_file_has_its_checksum() -> None:
    lines = (DIST / checksums.NAME).read_text().splitlines()
    listed = {name: value for value, name in (line.split("  ") for line in lines)}
    assert listed == checksums.sums(DIST)
    assert {f"images/{name}.tar" for name in IMAGES} <= set(listed)
    assert {"kubevirt-operator.yaml", "kubevirt-cr.yaml", f"kubevirt-{version()}.tgz"} <= set(listed)


def test_manifests_name_the_digest_of_each_archive(digests: dict[str, str]) -> None:
    deployment = operator_objects()[-1]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"/virt-operator:{version()}@{digests['virt-operator']}")
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    named = dict(entry.split("=") for entry in variables["VIRT_IMAGE_DIGESTS"].split(","))
    assert named == digests


def test_blobs_of_an_archive_are_complete(digests: dict[str, str]) -> None:
    for name in IMAGES:
        with tarfile.open(DIST / "images" / f"{name}.tar") as tar:
            sizes = {member.name: member.size for member in tar}
            manifest = content(tar, blob(digests[name]))
        for part in (manifest["config"], *manifest["layers"]):
            assert sizes[blob(part["digest"])] == part["size"], (name, part)


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def content(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None
    return json.loads(file.read())


def test_the_chart_renders_the_objects_of_the_manifest() -> None:
    helm = clients.ensure(clients.HELM, Cluster.load())
    package = DIST / f"kubevirt-{version()}.tgz"
    argv = [helm, "template", "name", package, "--namespace", "kubevirt"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    chart = {key(body): body for body in yaml.safe_load_all(done.stdout) if body and not is_hook(body)}
    wanted = {key(body): body for body in operator_objects() if body["kind"] != "Namespace"}
    # The manifest's Deployment says the release in a label for people; helm has labels of its own for that.
    del wanted["Deployment", "virt-operator"]["metadata"]["labels"]["app.kubernetes.io/version"]
    assert {name: chart.get(name) for name in wanted} == wanted
    assert {name for _, name in chart.keys() - wanted.keys()} == {"kubevirt-chart"}, "the account of its Jobs"


def key(body: Any) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def is_hook(body: Any) -> bool:
    return HOOK in body["metadata"].get("annotations", {})


@pytest.mark.parametrize("name", IMAGES)
def test_a_bill_of_materials_is_of_its_archive(name: str, digests: dict[str, str]) -> None:
    bill = json.loads((DIST / "sbom" / f"{name}.spdx.json").read_text())
    (image,) = (package for package in bill["packages"] if package["SPDXID"] == "SPDXRef-image")
    assert image["checksums"] == [{"algorithm": "SHA256", "checksumValue": digests[name].removeprefix("sha256:")}]
    names = {package["name"] for package in bill["packages"]}
    assert {"libc6", "grpcio", "msgspec"} <= names


def test_the_launcher_s_bill_has_libvirt_and_qemu_as_they_are_in_the_archive(tmp_path: Path) -> None:
    bill = json.loads((DIST / "sbom" / "virt-launcher.spdx.json").read_text())
    listed = {package["name"]: package["versionInfo"] for package in bill["packages"]}
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_bytes(dpkg_status(DIST / "images" / "virt-launcher.tar"))
    installed = debian_packages.installed(tmp_path)
    assert listed["libvirt-daemon"] == installed["libvirt-daemon"]
    assert listed["qemu-system-x86"] == installed["qemu-system-x86"]
    assert installed.items() <= listed.items()


def dpkg_status(archive: Path) -> bytes:
    """Of the last layer that has it."""
    with tarfile.open(archive) as tar:
        for layer in reversed(content(tar, blob(archives.digest(archive)))["layers"]):
            file = tar.extractfile(blob(layer["digest"]))
            assert file is not None
            with tarfile.open(fileobj=io.BytesIO(file.read())) as files:
                if "var/lib/dpkg/status" in files.getnames():
                    found = files.extractfile("var/lib/dpkg/status")
                    assert found is not None
                    return found.read()
    raise AssertionError("no layer has dpkg's status")


def test_virtadm_runs_from_its_wheels_alone(tmp_path: Path) -> None:
    wheels = sorted((DIST / "wheels").glob("*.whl"))
    assert [wheel.name.split("-")[0] for wheel in wheels] == ["kubevirt_protos", "virt_admin", "virt_core"]
    uv = str(dist.UV)
    subprocess.run([uv, "venv", "--quiet", "--no-python-downloads", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wheels], check=True)
    done = subprocess.run([tmp_path / "venv/bin/virtadm", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "doctor" in done.stdout, done.stderr
    script = "from virt_admin.ui.page import read_page; print(*read_page())"
    files = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert {"/index.html", "/assets/main.js", "/assets/style.css", "/licenses.txt"} <= set(files)

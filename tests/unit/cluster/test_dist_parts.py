"""Parts of dist/: archives with one image, bills of materials, checksums."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from localcluster.progress import PartFailed
from localcluster.releases import archives, checksums, sbom

MANIFEST = b'{"layers": []}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
STATUS = """Package: libstdc++6
Status: install ok installed
Architecture: amd64
Source: gcc-12
Version: 12.2.0-14

Package: qemu-system-x86
Status: install ok installed
Architecture: amd64
Source: qemu (1:7.2)
Version: 1:7.2+b3
"""


def archive(folder: Path, digests: list[str], manifest: bytes = MANIFEST) -> Path:
    path = folder / "image.tar"
    index = json.dumps({"manifests": [{"digest": digest} for digest in digests]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in (("index.json", index), (f"blobs/{DIGEST.replace(':', '/')}", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_s_digest_is_that_of_its_manifest(tmp_path: Path) -> None:
    assert archives.digest(archive(tmp_path, [DIGEST])) == DIGEST


@pytest.mark.parametrize(
    ("digests", "manifest", "reason"),
    [
        ([], MANIFEST, "image.tar has 0 manifests, not 1"),
        ([DIGEST, DIGEST], MANIFEST, "image.tar has 2 manifests, not 1"),
        ([DIGEST], b"{}", "image.tar: the manifest sha256:[0-9a-f]* has the digest sha256:"),
        (["sha256:" + "0" * 64], MANIFEST, "image.tar has no blobs/sha256/000"),
    ],
)
def test_an_archive_that_is_damaged_is_refused(
    tmp_path: Path, digests: list[str], manifest: bytes, reason: str
) -> None:
    with pytest.raises(PartFailed, match=reason):
        archives.digest(archive(tmp_path, digests, manifest))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The file system of an image."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Debian"\nVERSION_ID="12"\n')
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    python = tmp_path / "opt/kubevirt/lib/python3.11/site-packages/Grpcio_Status-1.2.dist-info"
    python.mkdir(parents=True)
    (python / "METADATA").write_text("Metadata-Version: 2.1\nName: Grpcio_Status\nVersion: 1.2\n")
    return tmp_path


def test_a_bill_of_materials_has_the_packages_of_debian_and_python(root: Path) -> None:
    bill = sbom.document(root, "virt-api", "0.1.0", DIGEST, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    purls = {package["name"]: package["externalRefs"][0]["referenceLocator"] for package in bill["packages"]}
    assert purls["qemu-system-x86"] == "pkg:deb/debian/qemu-system-x86@1%3A7.2%2Bb3?arch=amd64&distro=debian-12"
    assert purls["grpcio-status"] == "pkg:pypi/grpcio-status@1.2"
    assert bill["creationInfo"]["created"] == "2026-01-02T03:04:05Z"
    identifiers = [package["SPDXID"] for package in bill["packages"]]
    assert len(set(identifiers)) == 4 and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in identifiers)
    contained = [r["relatedSpdxElement"] for r in bill["relationships"] if r["relationshipType"] == "CONTAINS"]
    assert contained == identifiers[1:]


def test_checksums_are_of_every_file_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tar").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"")
    checksums.write(tmp_path)
    lines = (tmp_path / checksums.NAME).read_text().splitlines()
    assert lines == [f"{hashlib.sha256(b'').hexdigest()}  b", f"{hashlib.sha256(b'a').hexdigest()}  images/a.tar"]
    checksums.write(tmp_path)
    assert (tmp_path / checksums.NAME).read_text().splitlines() == lines

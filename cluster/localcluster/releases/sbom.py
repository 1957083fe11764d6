"""The bill of materials of an image, as SPDX 2.3 JSON: Debian packages by dpkg, those of Python by their metadata.

Called by dist.py. https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from localcluster import debian_packages

_IMAGE = "SPDXRef-image"
_UNKNOWN = "NOASSERTION"
_PYTHON = "opt/kubevirt/lib/python3*/site-packages"


def document(root: Path, image: str, version: str, digest: str, created: datetime) -> dict[str, Any]:
    """Of the image with this manifest digest, whose file system is at `root`."""
    contents = [*_debian(root), *_python(root)]
    purl = f"pkg:oci/{image}@{quote(digest, safe='')}?tag={version}"
    whole = _package(_IMAGE, image, version, purl) | {
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}],
    }
    name = f"{image}-{version}"
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "creationInfo": {
            "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: localcluster-{version}"],
        },
        "packages": [whole, *contents],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _IMAGE),
            *(_relation(_IMAGE, "CONTAINS", package["SPDXID"]) for package in contents),
        ],
    }


def _debian(root: Path) -> Iterator[dict[str, Any]]:
    release = dict(
        line.replace('"', "").split("=", 1) for line in (root / "etc/os-release").read_text().splitlines() if line
    )
    for package in debian_packages.packages(root):
        rest = f"?arch={package.architecture}&distro=debian-{release['VERSION_ID']}"
        purl = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version, safe='')}{rest}"
        yield _package(_identifier("deb", package.name), package.name, package.version, purl)


def _python(root: Path) -> Iterator[dict[str, Any]]:
    found = metadata.distributions(path=[str(path) for path in root.glob(_PYTHON)])
    for name, version in sorted({(package.name.lower().replace("_", "-"), package.version) for package in found}):
        yield _package(_identifier("pypi", name), name, version, f"pkg:pypi/{name}@{quote(version, safe='')}")


def _package(identifier: str, name: str, version: str, purl: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }


def _identifier(kind: str, name: str) -> str:
    """An SPDXID has letters, digits, "." and "-" only: others are written as their code, as in "libstdc-2b-2b-6"."""
    return f"SPDXRef-{kind}-" + "".join(c if c.isalnum() or c in ".-" else f"-{ord(c):x}-" for c in name)


def _relation(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}

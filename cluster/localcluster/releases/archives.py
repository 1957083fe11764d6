"""OCI archives of a release's images: written from the local store, read by their index. Used by dist.py and by tests.

An archive is a tar of an OCI image layout with one image. Its digest is that of the manifest, which a registry keeps if
the archive is copied with `skopeo copy --preserve-digests`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from localcluster.progress import PartFailed


def write(buildah: list[str], image: str, archive: Path, reference: str) -> str:
    """Write an image of the store as an archive that calls it `reference`; returns its digest. Raises PartFailed."""
    argv = [*buildah, "push", "--quiet", "--format", "oci", image, f"oci-archive:{archive}:{reference}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PartFailed("archives", f"{archive.name}: {done.stderr.strip()}")
    return digest(archive)


def digest(archive: Path) -> str:
    """Digest of the image's manifest. Raises PartFailed if there is not exactly one, or it is damaged."""
    with tarfile.open(archive) as tar:
        index: dict[str, Any] = json.loads(_content(tar, "index.json", archive))
        found = [str(entry["digest"]) for entry in index["manifests"]]
        if len(found) != 1:
            raise PartFailed("archives", f"{archive.name} has {len(found)} manifests, not 1")
        manifest = _content(tar, f"blobs/{found[0].replace(':', '/')}", archive)
    actual = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    if actual != found[0]:
        raise PartFailed("archives", f"{archive.name}: the manifest {found[0]} has the digest {actual}")
    return actual


def _content(tar: tarfile.TarFile, name: str, archive: Path) -> bytes:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise PartFailed("archives", f"{archive.name} has no {name}")
    return file.read()

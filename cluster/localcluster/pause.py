"""The pause image of pods: a static C program in an image archive that containerd imports. Used by nodes."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from localcluster.progress import PartFailed
from localcluster.settings import PAUSE_IMAGE, PROJECT_ROOT, Cluster

SOURCE = PROJECT_ROOT / "cluster" / "pause" / "pause.c"


def ensure(cluster: Cluster) -> Path:
    """The archive's path. Builds it if the cache has none for this source."""
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    archive = cluster.cache / f"pause-{key}.tar"
    if not archive.exists():
        binary = cluster.cache / f"pause-{key}"
        argv = ["musl-gcc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-s", "-o", str(binary), str(SOURCE)]
        compiled = subprocess.run(argv, capture_output=True, text=True, check=False)
        if compiled.returncode:
            raise PartFailed("pause image", compiled.stderr.strip())
        unfinished = archive.with_suffix(".new")
        unfinished.write_bytes(image_archive("pause", binary.read_bytes(), PAUSE_IMAGE))
        unfinished.replace(archive)
    return archive


def image_archive(program: str, content: bytes, tag: str) -> bytes:
    """An image with a single static program, in the format of `docker save` (image-spec v1.2)."""
    layer = tar_of({program: (content, 0o755)})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    return tar_of({"config.json": (config, 0o644), "layer.tar": (layer, 0o644), "manifest.json": (manifest, 0o644)})


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of (content, mode) by name; the same bytes each time."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()

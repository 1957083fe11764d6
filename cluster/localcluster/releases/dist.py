"""`release`: everything that users of a release get, in one folder. Called by `make release`.

An OCI archive and an SBOM for each image, both manifests and the Helm chart with the images' digests, virtadm's wheels,
SHA256SUMS. Environment: REGISTRY, where the manifests expect the images; LAUNCHER_BASE, as for `images`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from localcluster import base_image, clients, host_packages, images, source_tag, store
from localcluster.progress import PartFailed, say, step
from localcluster.releases import archives, checksums, sbom
from localcluster.settings import PROJECT_ROOT, Cluster

WHEELS = ("protos", "services/core", "services/admin")
"""virtadm, and the members of the workspace that it needs."""

PAGE = "virt_admin/ui/bundle/index.html"
"""Of `virtadm ui`, in virtadm's wheel."""

UV = PROJECT_ROOT / ".venv-uv" / "bin" / "uv"


def write(cluster: Cluster, out: Path) -> None:
    """Replace the folder. Raises PartFailed."""
    version = source_tag.version(PROJECT_ROOT)
    registry = os.environ.get("REGISTRY") or cluster.registry
    host_packages.ensure(cluster)
    shutil.rmtree(out, ignore_errors=True)
    for folder in ("images", "sbom", "wheels"):
        (out / folder).mkdir(parents=True)
    digests = _images(cluster, out, version)
    options = ["--registry", registry, "--tag", version]
    options += [part for name, digest in sorted(digests.items()) for part in ("--digest", f"{name}={digest}")]
    _run(
        "manifests", [sys.executable, "-m", "virt_operator", "manifests", *options, "--version", version, "--out", out]
    )
    _chart(cluster, out, [*options, "--version", version])
    _wheels(out / "wheels", version)
    checksums.write(out)
    say(f"{out}: {version}, images at {registry}")


def _images(cluster: Cluster, out: Path, version: str) -> dict[str, str]:
    """Archives and SBOMs; returns the digest by image."""
    files = {name: path for name, path in images.containerfiles(PROJECT_ROOT).items() if name not in images.GUESTS}
    references = f"localhost/kubevirt-release/{{}}:{version}"
    build = images.Build(PROJECT_ROOT, version, base_image.launcher_suite(), files)
    with step(f"building {len(files)} images of {version}"):
        images.build_all(cluster, build, references, insecure=False, push=False)
    buildah, digests, now = store.buildah(cluster), {}, datetime.now(UTC)
    for name in files:
        image = references.format(name)
        with step(f"writing {name}'s archive and SBOM"), store.mounted(buildah, image) as root:
            digests[name] = archives.write(buildah, image, out / "images" / f"{name}.tar", f"{name}:{version}")
            text = json.dumps(sbom.document(root, name, version, digests[name], now), indent=1)
            (out / "sbom" / f"{name}.spdx.json").write_text(text + "\n")
    return digests


def _chart(cluster: Cluster, out: Path, options: Sequence[str]) -> None:
    folder = PROJECT_ROOT / "build" / "release-chart" / "kubevirt"
    source = PROJECT_ROOT / "charts" / "kubevirt"
    command = [sys.executable, "-m", "virt_operator", "chart", *options]
    _run("chart", [*command, "--source", str(source), "--out", str(folder)])
    _run("chart", [clients.ensure(clients.HELM, cluster), "package", folder, "--destination", out])


def _wheels(folder: Path, version: str) -> None:
    for member in WHEELS:
        _run("wheels", [UV, "build", "--quiet", "--wheel", "--out-dir", folder, PROJECT_ROOT / member])
    for wheel in folder.glob("*.whl"):
        if wheel.name.startswith("virt_admin-") and not _has_page(wheel):
            raise PartFailed("wheels", f"{wheel.name} has no page: `make page` says why")
        if wheel.name.split("-")[1] != version:
            raise PartFailed("wheels", f"{wheel.name}: its pyproject.toml has another version than VERSION, {version}")
    (folder / ".gitignore").unlink(missing_ok=True)  # uv puts it there


def _has_page(wheel: Path) -> bool:
    with zipfile.ZipFile(wheel) as archive:
        return PAGE in archive.namelist()


def _run(part: str, argv: Sequence[str | Path]) -> None:
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise PartFailed(part, f"{Path(argv[0]).name} ended with {done.returncode}: {' '.join(lines)}")

"""`images`: builds the product's images from a source tree and pushes them to the registry. Called by `make images`.

Environment: REGISTRY (host/path; default: the local cluster's), REGISTRY_INSECURE=1 for a registry without TLS, TAG,
LAUNCHER_BASE (the launcher's Debian release, see base_image.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from localcluster import base_image, build_settings, host_packages, registry, source_tag
from localcluster.progress import PartFailed, say, step
from localcluster.settings import Cluster

AT_ONCE = 2
LAUNCHER = "virt-launcher"
GUESTS = ("guest-demo", "guest-disk", "guest-hostile")
"""Targets of the guests' one Containerfile."""


def containerfiles(source: Path) -> dict[str, Path]:
    """Containerfile by image name."""
    found = {f"virt-{path.parent.name}": path for path in sorted(source.glob("services/*/Containerfile"))}
    guests = source / "tests" / "guest-image" / "Containerfile"
    return found | (dict.fromkeys(GUESTS, guests) if guests.exists() else {})


def images(cluster: Cluster, source: Path) -> None:
    """Build and push images that the registry lacks. Prints `TAG=…` as its last line. Raises PartFailed."""
    target = os.environ.get("REGISTRY") or cluster.registry
    local = target == cluster.registry
    if local and not registry.answers(cluster):
        raise PartFailed("registry", f"{target} does not answer, run `up` first", cluster.log(registry.PART))
    suite = base_image.launcher_suite()
    tag = os.environ.get("TAG") or source_tag.source_tag(source, suite)
    files = containerfiles(source)
    # A tag that the user chose does not depend on the images' content, so they are always built.
    if local and "TAG" not in os.environ and all(registry.has(target, name, tag) for name in files):
        say(f"{len(files)} images are in {target}")
    else:
        host_packages.ensure(cluster)
        with step(f"building {len(files)} images for {target}"):
            insecure = local or bool(os.environ.get("REGISTRY_INSECURE"))
            build_all(cluster, source, files, f"{target}/{{}}:{tag}", suite, insecure=insecure)
    say(f"TAG={tag}")


def build_all(
    cluster: Cluster, source: Path, files: dict[str, Path], references: str, launcher_suite: str, *, insecure: bool
) -> None:
    """Build and push. `references` has a place for an image's name."""
    store = cluster.cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    bases = {suite: base_image.ensure(cluster, buildah, suite) for suite in {base_image.SUITE, launcher_suite}}
    transport = ["--tls-verify=false", "--disable-compression"] if insecure else []

    def build(name: str) -> None:
        began = time.monotonic()
        log = cluster.cache / "build" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        reference = references.format(name)
        base = bases[launcher_suite if name == LAUNCHER else base_image.SUITE]
        arguments = [f"BASE={base}", f"VERSION={source_tag.version(source)}"]
        bud = [*buildah, "bud", "--isolation", "chroot", "--layers", "--tag", reference, "--file", str(files[name])]
        bud += [part for argument in arguments for part in ("--build-arg", argument)]
        bud += ["--target", name] if name in GUESTS else []
        run(name, [*bud, *build_settings.mounts(cluster, name), str(source)], log)
        built = time.monotonic()
        run(name, [*buildah, "push", "--quiet", *transport, reference], log)
        say(f"{name}: built {built - began:.1f} s, pushed {time.monotonic() - built:.1f} s")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        groups = {pool.submit(build, first): others for first, *others in by_cost(files)}
        later = []
        for finished in as_completed(groups):
            finished.result()
            later += [pool.submit(build, name) for name in groups[finished]]
        for last in later:
            last.result()


def by_cost(files: dict[str, Path]) -> list[list[str]]:
    """Groups of images with shared steps, which the first image of a group builds. The launcher comes first: it takes
    longest."""
    together: dict[str, list[str]] = {}
    for name, path in sorted(files.items()):
        together.setdefault(first_stage(path.read_text()), []).append(name)
    return sorted(together.values(), key=lambda names: LAUNCHER not in names)


def first_stage(containerfile: str) -> str:
    """The instructions of the first stage, without its name and comments."""
    stages = re.split(r"(?m)^FROM .*$", containerfile)
    return "\n".join(line for line in stages[1].splitlines() if line and not line.startswith("#"))


def run(name: str, argv: list[str], log: Path) -> None:
    with log.open("ab") as output:
        code = subprocess.run(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise PartFailed(name, f"`{argv[0]} {argv[7]}` ended with {code}", log)

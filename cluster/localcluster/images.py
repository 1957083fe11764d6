"""`images`: builds the product's images from a source tree and pushes them to the registry. Called by `make images`.

Environment: REGISTRY (host/path; default: the local cluster's), REGISTRY_INSECURE=1 for a registry without TLS, TAG,
LAUNCHER_BASE (the launcher's Debian release, see base_image.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import base_image, build_settings, debian_packages, host_packages, registry, source_tag, store
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


@dataclass(frozen=True, slots=True)
class Build:
    """The images of a source tree."""

    source: Path
    tag: str
    launcher_suite: str
    files: Mapping[str, Path]
    """Containerfile by image name."""

    launcher_packages: Mapping[str, str] = field(default_factory=dict)
    """Version by Debian package, of those that must be in the launcher's image in exactly this version."""

    launcher_package_list: str = ""
    """Expected digest of all its packages, or empty. Another one is reported and accepted."""


def images(cluster: Cluster, source: Path) -> None:
    """Build and push images that the registry lacks. Prints `TAG=…` as its last line. Raises PartFailed."""
    suite = base_image.launcher_suite()
    tag = os.environ.get("TAG") or source_tag.source_tag(source, suite)
    # A tag that the user chose does not depend on the images' content, so they are always built.
    provide(cluster, Build(source, tag, suite, containerfiles(source)), always="TAG" in os.environ)


def provide(cluster: Cluster, build: Build, *, always: bool = False) -> None:
    """Build and push unless the local registry has the images. Prints `TAG=…` as its last line. Raises PartFailed."""
    target = os.environ.get("REGISTRY") or cluster.registry
    local = target == cluster.registry
    if local and not registry.answers(cluster):
        raise PartFailed("registry", f"{target} does not answer, run `up` first", cluster.log(registry.PART))
    if local and not always and all(registry.has(target, name, build.tag) for name in build.files):
        say(f"{len(build.files)} images are in {target}")
    else:
        host_packages.ensure(cluster)
        with step(f"building {len(build.files)} images for {target}"):
            insecure = local or bool(os.environ.get("REGISTRY_INSECURE"))
            build_all(cluster, build, f"{target}/{{}}:{build.tag}", insecure=insecure)
    say(f"TAG={build.tag}")


def build_all(cluster: Cluster, build: Build, references: str, *, insecure: bool, push: bool = True) -> None:
    """Build and push. `references` has a place for an image's name."""
    buildah = store.buildah(cluster)
    bases = {suite: base_image.ensure(cluster, buildah, suite) for suite in {base_image.SUITE, build.launcher_suite}}
    launcher_base = base_image.pinned(buildah, bases[build.launcher_suite], build.launcher_packages)
    transport = ["--tls-verify=false", "--disable-compression"] if insecure else []
    files = build.files

    def make(name: str) -> None:
        began = time.monotonic()
        log = cluster.cache / "build" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        reference = references.format(name)
        base = launcher_base if name == LAUNCHER else bases[base_image.SUITE]
        arguments = [f"BASE={base}", f"VERSION={source_tag.version(build.source)}"]
        bud = [*buildah, "bud", "--isolation", "chroot", "--layers", "--tag", reference, "--file", str(files[name])]
        bud += [part for argument in arguments for part in ("--build-arg", argument)]
        bud += ["--target", name] if name in GUESTS else []
        run(name, [*bud, *build_settings.mounts(cluster, name), str(build.source)], log)
        if name == LAUNCHER:
            require_packages(buildah, reference, build)
        built = time.monotonic()
        if push:
            run(name, [*buildah, "push", "--quiet", *transport, reference], log)
        say(f"{name}: built {built - began:.1f} s, pushed {time.monotonic() - built:.1f} s")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        groups = {pool.submit(make, first): others for first, *others in by_cost(files)}
        later = []
        for finished in as_completed(groups):
            finished.result()
            later += [pool.submit(make, name) for name in groups[finished]]
        for last in later:
            last.result()


def require_packages(buildah: list[str], image: str, build: Build) -> None:
    """Raises PartFailed if the launcher's image lacks a package in its version: apt installs what a mirror serves."""
    if not build.launcher_packages:
        return
    with store.mounted(buildah, image) as root:
        installed = debian_packages.installed(root)
    wrong = debian_packages.differences(build.launcher_packages, installed)
    if wrong:
        raise PartFailed(LAUNCHER, "Debian's mirror does not serve what is recorded: " + "; ".join(wrong))
    if build.launcher_package_list not in ("", debian_packages.digest(installed)):
        say(f"{LAUNCHER}: hypervisor and firmware are as recorded, other packages differ")


def by_cost(files: Mapping[str, Path]) -> list[list[str]]:
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

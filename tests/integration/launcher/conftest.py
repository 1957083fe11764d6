"""The images of the working tree, and a pod whose launcher runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import libvirt
import pytest
from localcluster import base_image, build_settings
from localcluster.settings import Cluster

from tests.integration.launcher.commands import discard, run
from tests.integration.launcher.images import Images
from tests.integration.launcher.launcher_pair import LauncherPair
from tests.integration.launcher.pod import Pod

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def images(images_of: Callable[[str], Images]) -> Images:
    """Both images of the working tree. LAUNCHER_BASE=bookworm tests the launcher with QEMU 7.2."""
    return images_of(base_image.launcher_suite())


@pytest.fixture(scope="session")
def images_of() -> Iterator[Callable[[str], Images]]:
    """Makes the images from the working tree with a launcher of a Debian release; layers that did not change come from
    the cache of `make images`."""
    for tool in ("buildah", "runc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    cluster = Cluster.load()
    store = cluster.cache / "containers"
    buildah = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
    containers: list[str] = []

    def built(name: str, containerfile: str, suite: str = base_image.SUITE) -> str:
        """The image's id: its tag may become another tree's image meanwhile."""
        base = base_image.ensure(cluster, buildah, suite)
        bud = [*buildah, "bud", "--isolation", "chroot", "--layers", "--tag", f"localhost/{name}:integration"]
        bud += ["--build-arg", f"BASE={base}", "--build-arg", f"VERSION={(ROOT / 'VERSION').read_text().strip()}"]
        output = run(*bud, "--file", str(ROOT / containerfile), *build_settings.mounts(cluster, name), str(ROOT))
        return output.split()[-1]

    def mounted(image: str) -> str:
        containers.append(run(*buildah, "from", "--pull-never", image).strip())
        return run(*buildah, "mount", containers[-1]).strip()

    @cache
    def made(suite: str) -> Images:
        launcher = built("virt-launcher", "services/launcher/Containerfile", suite)
        config = json.loads(run(*buildah, "inspect", "--type", "image", launcher))["OCIv1"]["config"]
        return Images(mounted(launcher), guest(), config["Entrypoint"], config["Env"])

    @cache
    def guest() -> str:
        return mounted(built("guest-demo", "tests/guest-image/Containerfile"))

    try:
        yield made
    finally:
        for container in containers:
            discard(*buildah, "rm", container)


@pytest.fixture
async def pod(images: Images) -> AsyncIterator[Pod]:
    """A pod whose launcher runs and has no machine yet."""
    made = Pod(images)
    try:
        await made.bring_up()
        yield made
    finally:
        await made.remove()


@pytest.fixture
async def pair(images: Images) -> AsyncIterator[LauncherPair]:
    """Two pods whose launchers have no machine yet."""
    made = LauncherPair(images, images)
    try:
        await made.bring_up()
        yield made
    finally:
        await made.remove()


@pytest.fixture
def connection(pod: Pod) -> Iterator[Any]:
    """The pod's libvirtd, from outside."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    socket = pod.volumes["private"] / "run/libvirt/libvirt-sock"
    made = libvirt.open(f"qemu+unix:///session?socket={socket}")
    yield made
    made.close()

"""The same table by the releases' real images, with their own Python and packages.

Skipped where they were not built: `make images RELEASE=0.1.0`, `make images` and `make next-images` build them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from localcluster.releases import recorded, tree
from localcluster.settings import PROJECT_ROOT

from tests.next_release.tree import folder_of
from tests.support.skew.images import NotBuilt, mounted
from tests.support.skew.matrix import DOCUMENT, NEXT, THIS, matrix
from tests.support.skew.table import broken, page

pytestmark = pytest.mark.slow


def tags() -> dict[str, tuple[str, Path]]:
    """Tag and tree by release."""
    found = {release.version: (release.tag, tree.ensure(release)) for release in recorded.releases()[-2:]}
    for name, folder in ((THIS, PROJECT_ROOT), (NEXT, folder_of())):
        tag = folder / "build" / "tag"
        if not tag.exists():
            pytest.skip(f"no images of {name}: run make images next-images")
        found[name] = tag.read_text().strip(), folder
    return found


def test_processes_of_the_images_do_what_those_of_the_trees_do() -> None:
    if os.geteuid() != 0 or shutil.which("buildah") is None:
        pytest.skip("needs root and buildah")
    with tempfile.TemporaryDirectory(prefix="sk-", dir="/tmp") as shared:  # short: unix sockets
        try:
            with mounted(tags(), Path(shared)) as releases:
                found = asyncio.run(matrix(releases, Path(shared)))
        except NotBuilt as image:
            pytest.skip(f"{image} is not in the local store")
    assert broken(found) == []
    assert page(found) == DOCUMENT.read_text()

"""`record`: prints the entry of `releases.toml` for the commit that is checked out, and the line of the product's list.
Called by `make record`.

The packages are those of the launcher's image that was built from this tree, so `make images` comes before.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from localcluster import base_image, debian_packages, source_tag, store
from localcluster.progress import PartFailed
from localcluster.releases import recorded
from localcluster.settings import PROJECT_ROOT, Cluster

LEVEL_FILE = "services/core/virt_core/release.py"
KNOWN_FILE = "services/core/virt_core/conventions/releases.py"
"""The releases that the product knows. Images contain no releases.toml."""


def entry(cluster: Cluster, registry: str) -> str:
    """The text to add. Raises PartFailed if the tree has changes or its launcher image is not in the store."""
    suite = base_image.launcher_suite()
    image = f"{registry}/virt-launcher:{source_tag.source_tag(PROJECT_ROOT, suite)}"
    if _git("status", "--porcelain", "--", *source_tag.INPUTS):
        raise PartFailed("record", "the tree has changes that are in no commit")
    buildah = store.buildah(cluster)
    if not store.has(buildah, image):
        raise PartFailed("record", f"{image} is not in the local store, run `make images`")
    with store.mounted(buildah, image) as root:
        pinned, everything = debian_packages.pinned(root), debian_packages.installed(root)
    lines = [
        "[[release]]",
        f'version = "{source_tag.version(PROJECT_ROOT)}"',
        f"level = {_level()}",
        f'commit = "{_git("rev-parse", "HEAD")}"',
        "",
        "[release.launcher]",
        f'suite = "{suite}"',
        f'package-list = "{debian_packages.digest(everything)}"',
        "",
        "[release.launcher.packages]",
        *(f'{name} = "{version}"' for name, version in pinned.items()),
    ]
    return "\n".join(lines)


def known(versions: Iterable[str]) -> str:
    """The line of KNOWN_FILE with these releases recorded."""
    listed = [f'"{version}"' for version in dict.fromkeys(versions)]
    return f"RECORDED = ({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def known_with_this() -> str:
    """The line of KNOWN_FILE with the commit that is checked out recorded, too."""
    return known([*(release.version for release in recorded.releases()), source_tag.version(PROJECT_ROOT)])


def _level() -> int:
    found = re.search(r"(?m)^FEATURE_LEVEL = (\d+)$", (PROJECT_ROOT / LEVEL_FILE).read_text())
    if found is None:
        raise PartFailed("record", f"{LEVEL_FILE}: FEATURE_LEVEL is not there")
    return int(found[1])


def _git(*arguments: str) -> str:
    argv = ["git", "-C", str(PROJECT_ROOT), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

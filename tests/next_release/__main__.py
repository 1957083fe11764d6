"""`python -m tests.next_release [FAULT]`: the next release's tree, images and manifests, below build/next-release.

Quick when nothing has changed: the tag is made from what is in the tree. Environment: REGISTRY and LAUNCHER_BASE, as
for `make images`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from localcluster import base_image, source_tag

from tests.next_release.tree import environment, folder_of, make_tree


def main(fault: str = "") -> None:
    """Make all."""
    folder = folder_of(fault)
    make_tree(folder, fault)
    suite = base_image.launcher_suite()
    tag = source_tag.source_tag(folder, suite)
    without_tag = {key: value for key, value in os.environ.items() if key != "TAG"}  # that one is this tree's
    argv = [sys.executable, "-m", "localcluster", "images", "--source", str(folder)]
    subprocess.run(argv, check=True, env=without_tag)
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build" / "tag").write_text(tag + "\n")
    manifests = ["-m", "virt_operator", "manifests", "--registry", os.environ["REGISTRY"], "--tag", tag]
    manifests += ["--use-emulation", "--out", str(folder / "build" / "manifests")]
    subprocess.run([sys.executable, *manifests], check=True, env=environment(folder), cwd=folder)


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""Gives an opened image a path that is the same in every launcher pod. Called by prepare.py in a thread.

The path is in the XML of the running guest, which a live migration sends to the next launcher: there the same link
leads to the image that the next launcher has opened. The folder is the launcher's own, so nobody else replaces a link.
It leads to a descriptor and not to a file, because whoever can write in the image's folder may replace the file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from virt_launcher.storage.plan import Found, OpenedImage


def linked(found: Found, link: Path) -> Found:
    """`found` by the path of a link to it, which replaces the link of an earlier preparation. A device node keeps its
    path: it is the same in every pod."""
    if not isinstance(found, OpenedImage) or found.block:
        return found
    link_to(found.path, link)
    return replace(found, path=str(link))


def link_to(path: str, link: Path) -> None:
    """Create or replace a link in one step."""
    unfinished = link.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(path)
    unfinished.replace(link)

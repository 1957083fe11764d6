"""SHA256SUMS of a folder, as sha256sum(1) reads it. Used by dist.py and by tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Over every file of the folder."""
    (folder / NAME).write_text("".join(f"{value}  {name}\n" for name, value in sums(folder).items()))


def sums(folder: Path) -> dict[str, str]:
    """Hexadecimal SHA-256 by path below the folder, of all files but NAME."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(folder)): _sum(path) for path in files}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

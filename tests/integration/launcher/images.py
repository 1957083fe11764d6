"""Images of the working tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """Root file systems of the images, and what the launcher's image runs."""

    launcher: str
    guest: str
    entrypoint: list[str]
    environment: list[str]

"""Debian packages of an image: read from its file system, compared with a record, written as apt pins.

Used by builds of recorded releases and by SBOMs."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

PINNED_SOURCES = ("libvirt", "qemu", "seabios", "edk2", "ipxe")
"""Debian source packages of which a record has every binary package that the launcher has."""


def installed(root: Path) -> dict[str, str]:
    """Version by package, below a root file system."""
    return {name: version for name, (version, _) in sorted(_query(root).items())}


def pinned(root: Path) -> dict[str, str]:
    """Version by package, of those that decide which guests the launcher runs."""
    found = sorted(_query(root).items())
    return {name: version for name, (version, source) in found if source in PINNED_SOURCES}


def digest(packages: Mapping[str, str]) -> str:
    """Of lines `name version`, sorted."""
    lines = "".join(f"{name} {version}\n" for name, version in sorted(packages.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def preferences(packages: Mapping[str, str]) -> str:
    """apt_preferences(5) that select these versions, also older ones than installed."""
    stanzas = (f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in packages.items())
    return "\n".join(stanzas)


def differences(recorded: Mapping[str, str], available: Mapping[str, str]) -> list[str]:
    """A text for each recorded package that is not there in its version."""
    return [
        f"{name}: recorded is {version}, available is {available.get(name, 'none')}"
        for name, version in sorted(recorded.items())
        if available.get(name) != version
    ]


def _query(root: Path) -> dict[str, tuple[str, str]]:
    """Version and source package by package."""
    fields = "${db:Status-Status}\t${Package}\t${Version}\t${source:Package}\n"
    argv = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={fields}"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = (line.split("\t") for line in lines)
    return {name: (version, source) for status, name, version, source in rows if status == "installed"}

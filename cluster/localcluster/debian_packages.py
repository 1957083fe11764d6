"""Debian packages of an image: read from its file system, compared with a record, written as apt pins.

Used by builds of recorded releases and by SBOMs."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PINNED_SOURCES = ("libvirt", "qemu", "seabios", "edk2", "ipxe")
"""Debian source packages of which a record has every binary package that the launcher has."""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package."""

    name: str
    version: str
    architecture: str
    source: str
    """The source package that it was built from."""


def packages(root: Path) -> list[Package]:
    """What is installed below a root file system, by name."""
    fields = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
    argv = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={fields}"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = (line.split("\t") for line in sorted(lines))
    return [Package(*parts) for status, *parts in rows if status == "installed"]


def installed(root: Path) -> dict[str, str]:
    """Version by package, below a root file system."""
    return {package.name: package.version for package in packages(root)}


def pinned(root: Path) -> dict[str, str]:
    """Version by package, of those that decide which guests the launcher runs."""
    return {package.name: package.version for package in packages(root) if package.source in PINNED_SOURCES}


def digest(versions: Mapping[str, str]) -> str:
    """Of lines `name version`, sorted."""
    lines = "".join(f"{name} {version}\n" for name, version in sorted(versions.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def preferences(versions: Mapping[str, str]) -> str:
    """apt_preferences(5) that select these versions, also older ones than installed."""
    stanzas = (f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in versions.items())
    return "\n".join(stanzas)


def differences(recorded: Mapping[str, str], available: Mapping[str, str]) -> list[str]:
    """A text for each recorded package that is not there in its version."""
    return [
        f"{name}: recorded is {version}, available is {available.get(name, 'none')}"
        for name, version in sorted(recorded.items())
        if available.get(name) != version
    ]

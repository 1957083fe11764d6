"""Reads `releases.toml`: version, feature level, commit and launcher packages of each release. Reads nothing else.

Used by the builds of recorded releases, by the checks of contracts and by tests. Every invalid field is refused with
field, value and what is allowed.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from localcluster.base_image import LAUNCHER_SUITES
from localcluster.settings import PROJECT_ROOT, BadSetting

FILE = PROJECT_ROOT / "releases.toml"
REQUIRED_PACKAGES = ("libvirt-daemon", "qemu-system-x86", "seabios", "ovmf")
"""Debian packages that decide which guests a launcher can run and move."""

_VERSION = (r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", 'three numbers, for example "0.1.0"')
_COMMIT = (r"[0-9a-f]{40}", "40 hexadecimal digits, as `git rev-parse HEAD` prints them")
_DIGEST = (r"sha256:[0-9a-f]{64}", '"sha256:" and 64 hexadecimal digits')
_PACKAGE = (r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package")
_PACKAGE_VERSION = (r"[0-9][A-Za-z0-9.+:~-]*", "a version of a Debian package")


@dataclass(frozen=True, slots=True)
class Launcher:
    """What is in the launcher's image besides the project's code."""

    suite: str
    """Debian release, one of LAUNCHER_SUITES."""

    packages: Mapping[str, str]
    """Version by Debian package. These are installed in exactly this version."""

    package_list: str
    """Digest of all packages with their versions, see debian_packages.py."""


@dataclass(frozen=True, slots=True)
class Release:
    """A recorded release of the whole suite."""

    version: str
    level: int
    commit: str
    launcher: Launcher

    @property
    def tag(self) -> str:
        """Tag of the release's images. It follows everything that decides about them."""
        parts = [self.commit, self.launcher.suite, *(f"{k}={v}" for k, v in sorted(self.launcher.packages.items()))]
        return f"{self.version}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def releases(file: Path = FILE) -> tuple[Release, ...]:
    """All recorded releases, oldest first. Raises BadSetting."""
    try:
        content = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{file.name}: {error}") from None
    _only(content, ("release",), file.name)
    found = [_release(entry, f"release[{number}]") for number, entry in enumerate(_tables(content, "release"))]
    for number, (earlier, later) in enumerate(pairwise(found), start=1):
        if _numbers(later.version) <= _numbers(earlier.version):
            raise _bad(f"release[{number}].version", later.version, f"a version above {earlier.version}")
        if later.level < earlier.level:
            raise _bad(f"release[{number}].level", later.level, f"a number from {earlier.level} on")
    return tuple(found)


def release(version: str, file: Path = FILE) -> Release:
    """The release of that version. Raises BadSetting."""
    found = {entry.version: entry for entry in releases(file)}
    if version not in found:
        raise BadSetting(f"RELEASE: {version!r} is not recorded in {file.name}, use {' or '.join(found)}")
    return found[version]


def _release(entry: Any, field: str) -> Release:
    _only(entry, ("version", "level", "commit", "launcher"), field)
    level = entry.get("level")
    if not isinstance(level, int) or isinstance(level, bool) or level < 1:
        raise _bad(f"{field}.level", level, "a number from 1 on")
    return Release(
        _text(entry, "version", field, _VERSION),
        level,
        _text(entry, "commit", field, _COMMIT),
        _launcher(entry.get("launcher"), f"{field}.launcher"),
    )


def _launcher(entry: Any, field: str) -> Launcher:
    _only(entry, ("suite", "packages", "package-list"), field)
    suite = entry.get("suite")
    if suite not in LAUNCHER_SUITES:
        raise _bad(f"{field}.suite", suite, " or ".join(LAUNCHER_SUITES))
    packages = entry.get("packages")
    _only(packages, None, f"{field}.packages")
    for name in packages:
        if not re.fullmatch(_PACKAGE[0], name):
            raise _bad(f"{field}.packages", name, _PACKAGE[1])
    for name in (*REQUIRED_PACKAGES, *packages):
        _text(packages, name, f"{field}.packages", _PACKAGE_VERSION)
    return Launcher(suite, packages, _text(entry, "package-list", field, _DIGEST))


def _tables(content: Mapping[str, Any], name: str) -> list[Any]:
    found = content.get(name)
    if not isinstance(found, list) or not found:
        raise _bad(name, found, f"one table [[{name}]] or more")
    return found


def _only(entry: Any, allowed: tuple[str, ...] | None, field: str) -> None:
    """Refuse what is no table, and keys that are not `allowed`; None allows all."""
    if not isinstance(entry, dict):
        raise _bad(field, entry, "a table")
    for key in entry:
        if allowed is not None and key not in allowed:
            raise BadSetting(f"{field}: {key!r} is unknown, use {', '.join(allowed)}")


def _text(entry: Mapping[str, Any], key: str, field: str, pattern: tuple[str, str]) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not re.fullmatch(pattern[0], value):
        raise _bad(f"{field}.{key}", value, pattern[1])
    return value


def _bad(field: str, value: object, allowed: str) -> BadSetting:
    if value is None:
        return BadSetting(f"{field}: is missing, use {allowed}")
    return BadSetting(f"{field}: {value!r} is not allowed, use {allowed}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

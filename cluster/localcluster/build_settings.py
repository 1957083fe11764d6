"""The machine's settings for Debian and PyPI, passed to image builds without leaving traces in the images.

Certificates, pip settings, apt options and download caches are mounted during a RUN step. Used by `images` and by the
base image. The project contains no registry's name: all settings are read from the machine.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster.settings import Cluster

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIGURATIONS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "timeout", "retries", "proxy")
APT_OPTIONS = re.compile(r'Acquire::(https?::(Proxy\b|CAInfo|Verify)|Check-|Retries|ForceIPv[46]).*";$')
APT_SOURCES = Path("/etc/apt")


def pip_configuration(files: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """A pip.conf merged from several, of which later ones win, and from PIP_* variables, which override all files."""
    merged: dict[str, str] = {}
    for text in files.values():
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.read_string(text)
        for section in ("global", "install"):
            merged |= {k: v for k, v in parsed.items(section) if k in PIP_KEYS} if parsed.has_section(section) else {}
    for key in PIP_KEYS:
        value = environment.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            merged[key] = value
    if merged.get("cert"):
        merged["cert"] = str(CA_BUNDLE)  # where the machine's bundle is mounted
    lines = [f"{key} = {' '.join(value.split())}" for key, value in sorted(merged.items())]
    return "\n".join(["[global]", "disable-pip-version-check = true", "root-user-action = ignore", *lines]) + "\n"


def apt_options() -> list[str]:
    """The machine's apt settings for access to a mirror and for validity dates."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if APT_OPTIONS.match(line)]


def debian_sources(suite: str) -> str:
    """The machine's apt sources of that Debian suite, as deb822; empty if it has none.

    Entries of other publishers do not match, since their suites have other names.
    """
    suites = {suite, f"{suite}-updates", f"{suite}-security"}
    stanzas = []
    for path in sorted(APT_SOURCES.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"(?m)^(\S+):[ \t]*(.*)$", stanza))
            wanted = fields.get("Suites", "").split()
            if wanted and set(wanted) <= suites and "main" in fields.get("Components", "").split():
                stanzas.append(stanza_of(fields["URIs"], fields["Suites"]))
    for path in sorted([APT_SOURCES / "sources.list", *APT_SOURCES.glob("sources.list.d/*.list")]):
        for line in path.read_text().splitlines() if path.exists() else ():
            found = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
            if found and found[2] in suites and "main" in found[3].split():
                stanzas.append(stanza_of(found[1], found[2]))
    return "\n".join(stanzas)


def renamed(sources: str, suite: str, other: str) -> str:
    """Sources of another Debian release at the same mirrors."""
    lines = [line.replace(suite, other) if line.startswith("Suites: ") else line for line in sources.splitlines(True)]
    return "".join(lines)


def stanza_of(uris: str, suites: str) -> str:
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return f"Types: deb\nURIs: {uris}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"


def mounts(cluster: Cluster, image: str) -> list[str]:
    """buildah's --volume arguments for an image. Each image has its own apt and pip caches, as builds run in
    parallel."""
    folder = cluster.cache / "build"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {str(p): p.read_text() for p in map(Path.expanduser, map(Path, PIP_CONFIGURATIONS)) if p.exists()}
    pip = pip_configuration(texts, os.environ)
    (folder / "pip.conf").write_text(pip)
    (folder / "apt.conf").write_text("\n".join(apt_options()) + "\n")
    volumes = [
        f"{folder}/pip.conf:/etc/pip.conf:ro",
        f"{folder}/apt.conf:/etc/apt/apt.conf.d/99machine:ro",
    ]
    if CA_BUNDLE.exists():
        volumes.append(f"{CA_BUNDLE}:{CA_BUNDLE}:ro")
    for place in re.findall(r"(?m)^find-links = (.*)$", pip):
        volumes += [f"{path}:{path}:ro" for path in place.split() if Path(path).is_dir()]
    for name, target in (("apt", "/var/cache/apt/archives"), ("pip", "/root/.cache/pip")):
        cached = folder / f"{name}-{image}"
        cached.mkdir(exist_ok=True)
        volumes.append(f"{cached}:{target}")
    return [argument for volume in volumes for argument in ("--volume", volume)]

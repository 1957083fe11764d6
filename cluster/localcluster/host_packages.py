"""Installs missing Debian packages that the cluster and its tests need. First step of `up` and `images`.

Only tests need e2fsprogs and qemu-utils, to create disk images, and skopeo, to install from archives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.progress import PartFailed, step
from localcluster.settings import Cluster

PACKAGES = (
    "buildah",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debian-archive-keyring",
    "docker-registry",
    "e2fsprogs",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "mmdebstrap",
    "mount",
    "musl-tools",
    "nftables",
    "procps",
    "qemu-utils",
    "runc",
    "skopeo",
    "socat",
    "util-linux",
)
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Packages that are not installed according to dpkg."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,  # its status is 1 if it does not know a package
    )
    installed = {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in PACKAGES if name not in installed]


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep packages from starting containerd and the registry as services (policy-rc.d of invoke-rc.d)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def ensure(cluster: Cluster) -> None:
    """Install missing packages. Raises PartFailed if apt-get fails."""
    absent = missing()
    if not absent:
        return
    log = cluster.cache / "apt-get.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *absent]]
    doing = f"installing {len(absent)} Debian packages ({' '.join(absent)})"
    with step(doing), no_service_starts(), log.open("wb") as output:
        for argv in commands:
            if subprocess.run(argv, stdout=output, stderr=output, env=environment, check=False).returncode:
                raise PartFailed("Debian packages", f"`{' '.join(argv[:2])}` failed", log)

"""Go programs from a module of ours, static and cached by their sources. Called by kube_binary.py, clients.py."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from localcluster.progress import PartFailed, say

SAY_EVERY_SECONDS = 60


def key(sources: Path) -> str:
    """Sixteen hex digits of the SHA-256 over names and contents of go.mod, go.sum and *.go."""
    digest = hashlib.sha256()
    for path in sorted([sources / "go.mod", sources / "go.sum", *sources.glob("*.go")]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def build(go: str, sources: Path, package: str, flags: str, binary: Path) -> None:
    """Build `package` as the module in `sources` pins it; moved into its place when complete.

    Static, so that it needs nothing of the machine it runs on. `flags` are the linker's. Raises PartFailed.
    """
    name = binary.name.partition("-")[0]
    unfinished = binary.with_suffix(f".{os.getpid()}")
    log = binary.with_name(f"{name}-build.log")
    argv = [go, "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", str(unfinished), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=sources, stdout=output, stderr=output, env=environment)
        minutes = 0
        try:
            while True:
                try:
                    code = process.wait(timeout=SAY_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    minutes += 1
                    say(f"building {name}: {minutes} min so far")
        finally:
            process.kill()
    if code:
        raise PartFailed(name, f"`go build` ended with {code}", log)
    unfinished.replace(binary)

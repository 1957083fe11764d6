"""Builds static Go programs from modules of this tree, cached by their sources. Called by kube_binary.py,
clients.py."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Set
from pathlib import Path
from typing import IO

from localcluster.progress import PartFailed, say

SAY_EVERY_SECONDS = 20


def key(sources: Path) -> str:
    """The first 16 hex digits of the SHA-256 of names and contents of go.mod, go.sum and *.go."""
    digest = hashlib.sha256()
    for path in sorted([sources / "go.mod", sources / "go.sum", *sources.glob("*.go")]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def build(go: str, sources: Path, package: str, flags: str, binary: Path) -> None:
    """Build `package` at the version that the module in `sources` pins. `binary` appears when it is complete.

    Static, so that it does not depend on the machine. `flags` are for the linker. Prints the share of compiled packages
    as progress. Raises PartFailed.
    """
    name = binary.name.partition("-")[0]
    unfinished = binary.with_suffix(f".{os.getpid()}")
    log = binary.with_name(f"{name}-build.log")
    # The linker drops debugging information anyway (-w): not to make it saves a tenth of the compilation.
    how = ["-buildvcs=false", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags]
    with log.open("wb") as output:
        say(f"building {name}: counting packages, downloading modules where they are missing")
        to_compile = _packages_to_compile(sources, [go, "list", *how], package, output)
        argv = [go, "build", "-v", *how, "-o", str(unfinished), package]
        process = subprocess.Popen(argv, cwd=sources, stdout=output, stderr=output, env=_environment())
        try:
            code = _wait(process, log, name, to_compile)
        finally:
            process.kill()
    if code:
        raise PartFailed(name, f"`go build` ended with {code}", log)
    unfinished.replace(binary)


def progress(log: str, to_compile: Set[str]) -> str:
    """The share of compiled packages. `go build -v` prints the name of a package when it compiles it.

    The last package is the program itself, which is compiled and linked in a single step.
    """
    done = len(to_compile & set(log.splitlines()))
    if done >= len(to_compile) - 1:
        return f"{len(to_compile)} packages compiled, linking"
    return f"{done} of {len(to_compile)} packages ({100 * done // len(to_compile)} %)"


def _packages_to_compile(sources: Path, go_list: list[str], package: str, log: IO[bytes]) -> set[str]:
    """The packages that are not in Go's cache. Empty if `go list` fails: the build then reports why."""
    argv = [*go_list, "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", package]
    listed = subprocess.run(argv, cwd=sources, stdout=subprocess.PIPE, stderr=log, env=_environment(), check=False)
    return set(listed.stdout.decode().split()) if listed.returncode == 0 else set()


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _wait(process: subprocess.Popen[bytes], log: Path, name: str, to_compile: Set[str]) -> int:
    while True:
        try:
            return process.wait(timeout=SAY_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"building {name}: {progress(log.read_text(errors='replace'), to_compile)}")

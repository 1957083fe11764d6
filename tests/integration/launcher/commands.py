"""Commands of the machine."""

from __future__ import annotations

import subprocess


def run(*argv: str) -> str:
    """Run a command of the machine; its output."""
    finished = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{' '.join(argv)}: {finished.stderr.strip()}"
    return finished.stdout


def discard(*argv: str) -> None:
    """Run a command that removes what may not be there."""
    subprocess.run(argv, capture_output=True, check=False)

"""Commands and manifests of the documentation, in the order in which a reader meets them. Pure.

A command is an indented line that begins with kubectl or virtctl, with its continuation lines. A manifest that commands
name is a yaml block whose first line is its file: `# ada.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("concepts", "networks", "storage", "migration", "from-kubevirt")
"""Pages whose commands are run as they are written (tests/e2e/test_docs.py)."""

NOT_RUN = {
    "virtctl console ada": "is interactive; test_virtctl.py types on it",
    "virtctl ssh root@vm/ada": "is interactive; test_virtctl.py types on it",
    "virtctl port-forward vm/ada 2222:22": "does not end by itself; test_virtctl_on_machines.py",
    "kubectl drain node1": "cordons a node that other tests use; test_drains.py",
    "kubectl uncordon node1": "is for the drain; test_drains.py",
}
"""How a command begins that is not run, and why."""

_FENCE = re.compile(r"(?ms)^```yaml\n(.*?)^```$")
_COMMAND = re.compile(r"(?m)^ {4,}((?:virtctl|kubectl) (?:.*\\\n)*.*)$")
_FILE = re.compile(r"# (\S+\.yaml)\n")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a reader saves as a file."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a reader types."""

    line: str

    @property
    def why_not_run(self) -> str:
        """Why a test does not run it; empty: it does."""
        return next((why for beginning, why in NOT_RUN.items() if self.line.startswith(beginning)), "")


Step = Manifest | Command


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (DOCS / f"{name}.md").read_text()


def section(text: str, heading: str) -> str:
    """The part of `text` below a heading of the second level."""
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def commands(text: str) -> list[str]:
    """All commands."""
    return [step.line for step in steps(text) if isinstance(step, Command)]


def steps(text: str) -> list[Step]:
    """Manifests and commands in their order."""
    found: list[tuple[int, Step]] = []
    for block in _FENCE.finditer(text):
        file = _FILE.match(block[1])
        if file is not None:
            found.append((block.start(), Manifest(file[1], block[1])))
    outside = _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    found += [(line.start(), Command(line[1])) for line in _COMMAND.finditer(outside)]
    return [step for _, step in sorted(found, key=lambda pair: pair[0])]


def for_a_test(text: str, name: str, image: str) -> str:
    """A manifest or a command about the machine `ada`, for a small guest of another name."""
    small = text.replace("registry.example.com/debian:13", image).replace("1Gi", "128Mi")
    return re.sub(r"\bada\b", name, small)

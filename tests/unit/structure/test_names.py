"""Names of values are nouns: CONTRIBUTING.md lists those that say nothing to a reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "services"
REFUSED = {"told", "said", "given", "asked", "one", "each"}


def named(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each variable, field and parameter."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def test_values_are_called_by_a_noun() -> None:
    files = sorted(SERVICES.glob("*/virt_*/**/*.py"))
    found = [(file, line, name) for file in files for line, name in named(file.read_text()) if name in REFUSED]
    assert len(files) > 700 and [f"{file.relative_to(SERVICES)}:{line}: {name}" for file, line, name in found] == []


@pytest.mark.parametrize(
    "source", ["said = 1", "[one for one in x]", "def f(given): pass", "class A:\n    told: int", "lambda each: 1"]
)
def test_a_name_that_says_nothing_is_found(source: str) -> None:
    assert REFUSED & {name for _, name in named(source)}

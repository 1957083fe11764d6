"""What tests may import of each other, and how long they and their names may be.

A test stands alone: what two of them need is in a module of their folder that is no test, in tests/support (parts of
a machine, processes) or in tests/samples (values).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.unit.structure.imports import ROOT, imported, modules

MODULES = modules(ROOT, "tests")
SHARED = ("tests.samples", "tests.support")
# What is run by itself. Their tests import them, and the bench measures what end-to-end tests use.
PROGRAMS = ("tests.stages", "tests.next_release", "tests.bench")
LONGEST_NAME = 90
LONGEST_MODULE = 400


def folder(module: str) -> str:
    """Where a module's neighbours are."""
    return module.rpartition(".")[0]


def is_below(module: str, tops: tuple[str, ...]) -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in tops)


def trouble(importer: str, source: str) -> str:
    """Why `importer` may not import `source`; empty if it may."""
    last = source.rpartition(".")[2]
    if last == "conftest" or last.startswith("test_"):
        return "is a test or a conftest"
    if is_below(source, (*SHARED, *PROGRAMS)) or folder(source) == folder(importer):
        return ""
    if is_below(importer, ("tests.bench",)) and folder(source) == "tests.e2e":
        return ""
    return "is of another folder, and neither in tests/samples nor in tests/support"


def test_no_test_imports_from_another_test_or_from_a_conftest() -> None:
    troubles = [
        f"{name}: {source} {why}"
        for name, path in MODULES.items()
        for source in imported(name, path, MODULES)
        if (why := trouble(name, source))
    ]
    assert not troubles, "\n".join(troubles)


@pytest.mark.parametrize(
    ("importer", "source", "allowed"),
    [
        ("tests.unit.core.test_a", "tests.unit.core.world", True),
        ("tests.unit.core.test_a", "tests.samples.machines", True),
        ("tests.e2e.test_a", "tests.next_release.edits", True),
        ("tests.bench.idle", "tests.e2e.audit", True),
        ("tests.unit.core.test_a", "tests.unit.core.test_b", False),
        ("tests.unit.core.test_a", "tests.unit.core.conftest", False),
        ("tests.unit.core.test_a", "tests.unit.handler.node", False),
        ("tests.unit.core.test_a", "tests.e2e.audit", False),
        ("tests.samples.machines", "tests.unit.core.world", False),
    ],
)
def test_an_import_that_ties_tests_to_each_other_is_found(importer: str, source: str, allowed: bool) -> None:
    assert (trouble(importer, source) == "") is allowed


def names() -> Iterator[tuple[str, str]]:
    """Module and name of every test function."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield module, node.name


def test_names_of_tests_can_be_read_in_one_line() -> None:
    long = [f"{module}.{name}: {len(name)} letters" for module, name in names() if len(name) > LONGEST_NAME]
    assert not long, "\n".join(long)


def test_modules_of_tests_are_about_one_subject() -> None:
    long = {
        name: length
        for name, path in MODULES.items()
        if (length := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long

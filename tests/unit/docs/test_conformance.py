"""docs/conformance.md: every test that it names exists, and its table of run strategies is the one that is tested."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "conformance.md").read_text()
_TEST = re.compile(r"`((?:unit|e2e|integration|contract)/\S+\.py)::(test_\w+)`")
_ROW = re.compile(r"(?m)^\|(?! KubeVirt's test|---)(.+)\|$")
TABLES, _, STRATEGIES = PAGE.partition("## Run strategies, row by row")
ROWS = [[cell.strip() for cell in row.split("|")] for row in _ROW.findall(TABLES)]
TABLE = "unit/controller/test_run_strategy_table.py"
MISSING = "missing"
MIGRATION_TESTS = {
    6968,
    6969,
    5689,
    6970,
    2353,
    1783,
    4746,
    6972,
    6973,
    3237,
    4114,
    6974,
    6976,
    6977,
    2303,
    2227,
    6978,
    6979,
    6980,
    2226,
    3241,
    8584,
    1853,
    8482,
    3242,
    3244,
    6982,
    2222,
    2224,
    3245,
    4747,
}
"""Numbers of section 9 of KubeVirt's migration contract."""


@cache
def functions(path: str) -> frozenset[str]:
    """The functions of a test module."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_tests_of_ours_that_exist(row: list[str]) -> None:
    kubevirts, shows, ours = row
    named = _TEST.findall(ours)
    assert kubevirts and shows and (named or ours == MISSING)
    assert [name for path, name in named if name not in functions(path)] == []


def test_every_test_of_the_page_exists() -> None:
    assert [name for path, name in _TEST.findall(PAGE) if name not in functions(path)] == []


def test_no_test_of_kubevirts_is_listed_twice() -> None:
    numbers = [number for row in ROWS for number in re.findall(r"\b\d{3,5}\b", row[0])]
    assert len(numbers) > 70 and len(set(numbers)) == len(numbers)


def test_each_of_kubevirts_migration_tests_has_a_row() -> None:
    section = PAGE.partition("## migration/")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")] for row in _ROW.findall(section)]
    numbers = {int(number) for row in rows for number in re.findall(r"\b\d{4}\b", row[0])}
    assert len(rows) == 41 and numbers == MIGRATION_TESTS


def test_the_table_of_run_strategies_is_the_one_that_is_tested() -> None:
    source = ast.parse((ROOT / "tests" / TABLE).read_text())
    values = {
        node.targets[0].id: ast.unparse(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    words = {"NONE": "no guest", "SAME": "the same guest", "ANOTHER": "another guest"}
    columns = ast.literal_eval(values["COLUMNS"])
    rows = ast.literal_eval(re.sub(r"\b(NONE|SAME|ANOTHER)\b", lambda found: repr(words[found[1]]), values["ROWS"]))
    header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _lines(STRATEGIES)]
    assert header == ["", *columns]
    assert {line[0]: tuple(line[1:]) for line in lines} == rows


def _lines(section: str) -> list[str]:
    return [line for line in section.splitlines() if line.startswith("|")]

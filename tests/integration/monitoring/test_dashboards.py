"""Prometheus understands each query of our dashboards, and of those in the folder that DASHBOARDS names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from localcluster.settings import PROJECT_ROOT
from virt_operator.monitoring.recording import records

from tests.support.dashboards import Query, filled, queries, unfiltered
from tests.support.documented_metrics import documented
from tests.support.prometheus_package import program
from tests.support.public_dashboards import NOT_THERE, SERIES

OWN = sorted((PROJECT_ROOT / "docs" / "dashboards").glob("*.json"))
OTHERS = sorted(Path(os.environ["DASHBOARDS"]).glob("**/*.json")) if os.environ.get("DASHBOARDS") else []
PARTS = ("bucket", "count", "sum")
NAMES = re.compile(r"\b(?:[a-z]+:)?kubevirt_\w+(?::\w+)?")


def of(path: Path) -> list[Query]:
    return queries(json.loads(path.read_text()))


@pytest.mark.parametrize("path", [*OWN, *OTHERS], ids=lambda path: path.name)
def test_prometheus_understands_each_query(path: Path, tmp_path: Path) -> None:
    rules = [{"record": f"query{number}", "expr": query.expression} for number, query in enumerate(of(path))]
    assert rules
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": path.name, "rules": rules}]}))
    argv = [program("promtool"), "check", "rules", file]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def known() -> set[str]:
    metrics = documented()
    parts = {f"{name}_{part}" for name, metric in metrics.items() if metric.kind == "histogram" for part in PARTS}
    return {*metrics, *parts, *(record.name for record in records("kubevirt"))}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_dashboards_ask_for_series_that_there_are(path: Path) -> None:
    for query in of(path):
        assert {name for name in NAMES.findall(query.expression) if name != "kubevirt_io"} <= known(), query


def test_what_public_dashboards_ask_of_the_suite_is_shown_or_has_a_reason() -> None:
    asked = {name for series in SERIES.values() for name in series if NAMES.fullmatch(name)}
    assert asked <= known() and not asked & set(NOT_THERE)


def test_variables_are_filled_in_and_rows_are_opened() -> None:
    panel = {"title": "Rate", "targets": [{"expr": 'rate(x{a=~"$instance"}[$__rate_interval]) > 0'}, {"expr": ""}]}
    (query,) = queries({"panels": [{"title": "row", "panels": [panel]}]})
    assert query == Query("Rate", 'rate(x{a=~".*"}[1m]) > 0')
    assert unfiltered(query.expression) == 'rate(x{a=~".*"}[1m])'
    assert filled('${node:regex} $name "$1"', {"node": "a", "name": "b"}) == 'a b "$1"'
    with pytest.raises(KeyError):
        filled("$unknown", {})

"""No package needs one that needs it, in a distribution or between them; few places list the services."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph

from tests.unit.structure.imports import ROOT

PACKAGES = sorted(
    path.parent.name for path in [*ROOT.glob("services/*/*/__init__.py"), *ROOT.glob("cluster/*/__init__.py")]
)
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/virt_*/__init__.py"))


def cycles(graph: ImportGraph, tops: Iterable[str]) -> list[str]:
    """Imports that close a circle between packages or modules of one folder, at any depth."""
    found = []
    for package in sorted(graph.modules):
        if package.split(".")[0] in tops and len(graph.find_children(package)) > 1:
            breakers = graph.nominate_cycle_breakers(package)
            found += [f"below {package}: {importer} -> {source}" for importer, source in sorted(breakers)]
    return found


def test_no_packages_of_a_distribution_need_each_other() -> None:
    assert cycles(build_graph(*PACKAGES, cache_dir=None), PACKAGES) == []


def test_no_distributions_need_each_other() -> None:
    graph = build_graph(*PACKAGES, cache_dir=None)
    needs = {
        top: {
            source.split(".")[0]
            for name in (top, *graph.find_descendants(top))
            for source in graph.find_modules_directly_imported_by(name)
        }
        - {top}
        for top in PACKAGES
    }
    while leaves := [top for top in needs if not needs[top] & set(needs)]:
        for top in leaves:
            del needs[top]
    assert not needs, f"in a circle: {needs}"


def test_a_circle_of_packages_is_found_also_where_no_modules_form_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "__init__": "",
        "a/__init__": "",
        "a/one": "from circular.b import two",
        "a/other": "",
        "b/__init__": "",
        "b/two": "",
        "b/more": "from circular.a import other",
    }.items():
        path = tmp_path / "circular" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = cycles(build_graph("circular", cache_dir=None), ["circular"])
    assert found.startswith("below circular: ")


def test_import_linter_knows_every_service() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = re.findall(r"\w+", " ".join(linter["contracts"][0]["layers"]))
    assert sorted(linter["root_packages"]) == sorted(layers) == SERVICES


def test_a_new_service_is_added_to_the_build_in_two_places() -> None:
    lines = [*(ROOT / "Makefile").read_text().splitlines(), *(ROOT / "pyproject.toml").read_text().splitlines()]
    lists = [
        line.split(" = ")[0] for line in lines if len(set(re.findall(r"virt_[a-z]+(?!\.)|services/[a-z]+", line))) > 2
    ]
    assert lists == ["root_packages", "layers"]

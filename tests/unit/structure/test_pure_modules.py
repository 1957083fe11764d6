"""The contract of modules that decide: what it holds, and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from grimp import build_graph
from importlinter.configuration import configure

from tests.support.pure_modules import PureModules, is_pure

OPTIONS = {"always": ["plan"], "forbidden_modules": ["asyncio"]}


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, **modules: str) -> tuple[bool, list[str]]:
    """Whether the contract holds for a package of these modules, and which have to say "Pure." and do not."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    for name, text in modules.items():
        (folder / package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    graph = build_graph(package, include_external_packages=True, cache_dir=None)
    configure()
    contract = PureModules("pure", {"root_packages": [package], "include_external_packages": True}, OPTIONS)
    checked = contract.check(graph, False)
    return checked.kept, checked.metadata["silent"]


def test_a_module_that_says_pure_reaches_no_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effects = "import asyncio"
    decides = '"""Decides. Pure; called by x."""\nfrom first import %s'
    assert check(tmp_path, monkeypatch, "first", rules=decides % "effects", effects=effects) == (False, [])


def test_a_module_that_has_effects_may_reach_those_that_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pure, acts = '"""Decides. Pure."""', '"""Pure but for one."""\nimport asyncio\nfrom second import plan'
    assert check(tmp_path, monkeypatch, "second", plan=pure, execute=acts) == (True, [])


def test_a_plan_has_to_say_that_it_is_pure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(tmp_path, monkeypatch, "third", plan='"""Decides."""') == (False, ["third.plan"])


def test_the_services_plans_are_under_the_contract() -> None:
    for name in ("virt_controller.vmi.plan", "virt_handler.machines.plan", "virt_launcher.machine.plan"):
        assert is_pure(name)
    assert not is_pure("virt_operator.reconcile.execute")

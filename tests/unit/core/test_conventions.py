"""What two processes agree on stands in virt_core.conventions, and nowhere a second time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"
CONVENTIONS = SERVICES / "core" / "virt_core" / "conventions"
# A value that cannot stand in the code by chance: "virt-api", "/etc/virt/trust", "GuestNotRunning", not "private".
DISTINCTIVE = re.compile(r"\w+[-/.:_]\w.*|/\w.*|[A-Z][a-z]+[A-Z]\w+")

COINCIDENCES = {
    "kubevirt.io": "the API group, and the label",
    "kernel-boot": "a container, and its volume",
    "ca.crt": "a key of Kubernetes' own ConfigMap kube-root-ca.crt, and of our Secrets",
}


def values() -> dict[str, str]:
    """Distinctive values of the conventions' constants, each with where it is defined."""
    found = {}
    for module in CONVENTIONS.glob("*.py"):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.Assign):
                for value in texts(node.value):
                    if DISTINCTIVE.fullmatch(value):
                        found[value] = f"{module.stem}.{ast.unparse(node.targets[0])}"
    return found


def texts(tree: ast.AST) -> Iterator[str]:
    """Strings of an expression or a module, without docstrings."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_no_service_spells_a_convention_itself() -> None:
    conventions = values()
    assert len(conventions) > 50
    spelled = [
        f"{file.relative_to(SERVICES)}: {text!r} is {conventions[text]}"
        for file in sorted(SERVICES.glob("*/virt_*/**/*.py"))
        if CONVENTIONS not in file.parents and "testing" not in file.parts
        for text in texts(ast.parse(file.read_text()))
        if text in conventions.keys() - COINCIDENCES
    ]
    assert spelled == []


def test_a_convention_has_one_name() -> None:
    defined: dict[str, list[str]] = {}
    for module in CONVENTIONS.glob("*.py"):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                value = node.value.value
                if isinstance(value, str) and DISTINCTIVE.fullmatch(value):
                    defined.setdefault(value, []).append(f"{module.stem}.{ast.unparse(node.targets[0])}")
    assert {value: names for value, names in defined.items() if len(names) > 1} == {}

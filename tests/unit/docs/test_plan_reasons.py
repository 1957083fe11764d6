"""docs/virtadm.md explains every reason of the plan of an upgrade, and no other."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import virt_operator.images
import virt_operator.preflight

ROOT = Path(__file__).parents[3]
MAKERS = ("blocking", "warning", "info", "ImageTrouble")
OF_THE_WHOLE = {"WillInstall", "WillUpdate", "WillRollback"}


def reasons() -> Iterator[str]:
    """The second argument of each call that makes a finding: a text, or a constant of the module."""
    for package in (virt_operator.preflight, virt_operator.images):
        for path in Path(str(package.__file__)).parent.glob("*.py"):
            constants = vars(importlib.import_module(f"{package.__name__}.{path.stem}"))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                    reason = node.args[1]
                    if isinstance(reason, ast.Constant):
                        yield str(reason.value)
                    elif isinstance(reason, ast.Name) and reason.id in constants:
                        yield str(constants[reason.id])


def test_each_reason_is_explained() -> None:
    page = (ROOT / "docs" / "virtadm.md").read_text()
    table = re.findall(r"^\| ([A-Za-z, ]+) \| (?:blocking|warning|info) \|", page, re.MULTILINE)
    explained = {reason for cell in table for reason in cell.split(", ")}
    assert explained == {*reasons(), *OF_THE_WHOLE}

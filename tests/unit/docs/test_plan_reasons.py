"""docs/virtadm.md explains every reason of the plan of an upgrade, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import virt_operator.images
import virt_operator.preflight

ROOT = Path(__file__).parents[3]
PREFLIGHT = Path(virt_operator.preflight.__file__).parent
IMAGES = Path(virt_operator.images.__file__).parent
MAKERS = ("blocking", "warning", "info", "ImageTrouble")
OF_THE_WHOLE = {"WillInstall", "WillUpdate", "WillRollback"}


def reasons() -> Iterator[str]:
    """The second argument of each call that makes a finding."""
    for path in (*PREFLIGHT.glob("*.py"), *IMAGES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                reason = node.args[1]
                if isinstance(reason, ast.Constant):
                    yield str(reason.value)


def test_each_reason_is_explained() -> None:
    page = (ROOT / "docs" / "virtadm.md").read_text()
    table = re.findall(r"^\| ([A-Za-z, ]+) \| (?:blocking|warning|info) \|", page, re.MULTILINE)
    explained = {reason for cell in table for reason in cell.split(", ")}
    assert explained == {*reasons(), *OF_THE_WHOLE}

"""What modules of a source tree import of each other, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]


def module_name(path: Path, base: Path) -> str:
    """The dotted name of a file below `base`."""
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def modules(base: Path, package: str) -> dict[str, Path]:
    """All modules of a package in the folder `base`, by name."""
    return {module_name(path, base): path for path in sorted((base / package).rglob("*.py"))}


def imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Those of the `known` modules that the module `name` imports anywhere, also for types or inside functions."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            for alias in node.names:
                found = f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source
                if found in known:
                    yield found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])

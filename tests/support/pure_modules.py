"""import-linter's contract for modules that decide: none of them reaches a module that has effects.

lint-imports loads it (`contract_types` in pyproject.toml). A module or package is under the contract if its docstring
says "Pure." or "Pure; …", so no list names them. Modules whose names are in `always` decide in every service and have
to say it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.contracts.forbidden import ForbiddenContract

_SAYS_SO = re.compile(r"\bPure[.;]")


class PureModules(Contract):
    """Options: `always`, last parts of names; `forbidden_modules` as of the contract type "forbidden"."""

    type_name = "pure"
    always = fields.ListField(subfield=fields.StringField())
    forbidden_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        roots: list[str] = self.session_options["root_packages"]
        names = [name for name in sorted(graph.modules) if name.split(".")[0] in roots]
        pure = [name for name in names if is_pure(name)]
        silent = [name for name in names if name.rpartition(".")[2] in self.always and not _is_below(name, pure)]
        checked = self._forbidden(pure).check(graph, verbose)
        metadata = {**checked.metadata, "pure": pure, "silent": silent}
        return ContractCheck(kept=checked.kept and not silent, metadata=metadata)

    def render_broken_contract(self, check: ContractCheck) -> None:
        for name in check.metadata["silent"]:
            output.print_error(f"{name} decides, by its name, and its docstring does not say 'Pure.'")
        self._forbidden(check.metadata["pure"]).render_broken_contract(check)

    def _forbidden(self, pure: list[str]) -> ForbiddenContract:
        options: dict[str, Any] = {"source_modules": pure, "forbidden_modules": self.forbidden_modules}
        return ForbiddenContract(self.name, self.session_options, options)


def is_pure(name: str) -> bool:
    """Whether the docstring of the module or package says so."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    return bool(_SAYS_SO.search(ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""))


def _is_below(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)

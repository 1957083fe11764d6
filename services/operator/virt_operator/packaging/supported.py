"""Writes the tables of supported fields in README.md and docs/supported.md. Called by `make supported`, and by the test
that compares both files with the code.

Compares the types of the supported spec with the table of KubeVirt's whole API, so no list is maintained by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import inspect
from virt_core.instancetype.spec import InstancetypeSpec, PreferenceSpec
from virt_core.objects.field_table import field_table
from virt_core.validation.strict import Off, Strict
from virt_core.vmi.spec.domain import VmiSpec

from virt_operator.suite.spec import SUPPORTED as KUBEVIRT_FIELDS

BEGIN = "<!-- supported: begin, written by `make supported` -->"
END = "<!-- supported: end -->"
_ROOT = "v1.VirtualMachineInstanceSpec"
_KINDS = (
    ("VirtualMachineInstance", _ROOT, VmiSpec),
    ("Instance types", "v1beta1.VirtualMachineInstancetypeSpec", InstancetypeSpec),
    ("Preferences", "v1beta1.VirtualMachinePreferenceSpec", PreferenceSpec),
)
_MISSING = (
    "VirtualMachineClone",
    "VirtualMachineExport",
    "VirtualMachinePool",
    "VirtualMachineRestore",
    "VirtualMachineSnapshot",
)
# Subject, and where in the spec its choices are.
_AREAS = (
    ("volumes", "volumes[]"),
    ("networks", "networks[]"),
    ("interfaces", "domain.devices.interfaces[]"),
    ("disks", "domain.devices.disks[]"),
    ("devices", "domain.devices"),
    ("CPU", "domain.cpu"),
    ("memory", "domain.memory"),
    ("domain", "domain"),
    ("firmware", "domain.firmware"),
    ("features", "domain.features"),
    ("clock", "domain.clock"),
    ("placement, probes, the rest of the spec", ""),
)


def summary() -> str:
    """README.md's table: each area with the fields that are supported and those that are not, without their details."""
    supported, known = set(supported_paths()), set(known_paths())
    rows = ["| part of a VirtualMachineInstance | supported | not yet |", "|---|---|---|"]
    for title, above in _AREAS:
        fields = sorted(path for path in known if _parent(path) == above and path.removesuffix("[]") == path)
        have = [_leaf(path) for path in fields if path in supported]
        lack = [_leaf(path) for path in fields if path not in supported]
        rows.append(f"| {title} | {', '.join(have)} | {', '.join(lack) or '–'} |")
    return "\n".join(rows)


def complete() -> str:
    """docs/supported.md: every field by its path."""
    sections = (section for kind in _KINDS for section in _fields_of(*kind))
    return "\n".join(
        (
            "# What is supported of KubeVirt's API",
            "",
            "Written by `make supported`; do not edit. `[]` stands for any item of a list. A field that is not listed",
            "as supported is refused by name.",
            "",
            "## VirtualMachineInstance, summary",
            "",
            summary(),
            "",
            *sections,
            "## Kinds without a definition",
            "",
            "The API server answers `no matches for kind`. What to use instead is in [differences.md](differences.md).",
            "",
            *(f"- {kind}" for kind in _MISSING),
            "",
            "## KubeVirt, fields of `spec` that have an effect",
            "",
            *(f"- `{path}`" for path in sorted(KUBEVIRT_FIELDS)),
            "",
        )
    )


def _fields_of(kind: str, root: str, spec: type[Strict]) -> Iterator[str]:
    supported = set(supported_paths(spec))
    lack = [path for path in known_paths(root) if path not in supported and _parent(path) in (supported | {""})]
    yield from (
        f"## {kind}, fields of `spec` that are refused",
        "",
        "What is below such a field is refused with it.",
        "",
    )
    yield from (*(f"- `{path}`" for path in sorted(lack)), "")
    yield from (f"## {kind}, fields of `spec` that are supported", "")
    yield from (*(f"- `{path}`" for path in sorted(supported) if not path.endswith("[]")), "")


def with_summary(readme: str) -> str:
    """README.md with the table between its marks replaced.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the mark {BEGIN if not begin else END}")
    return f"{before}{BEGIN}\n{summary()}\n{END}{after}"


def known_paths(root: str = _ROOT) -> list[str]:
    """Every path of a spec of KubeVirt's, as its table has it."""
    return list(_known(root, ""))


def supported_paths(spec: type[Strict] = VmiSpec) -> list[str]:
    """Every path of the spec that this release reads."""
    return [path for path, kind in _ours(inspect.type_info(spec), "") if _struct(kind) is not Off]


def _known(kind: str, above: str) -> Iterator[str]:
    table = field_table()
    for field, line in table[kind].items():
        path = f"{above}.{field}".lstrip(".")
        yield path
        below = line.split(maxsplit=1)[0].replace("!", "").removesuffix("|null")
        while below.startswith("[]"):
            path, below = f"{path}[]", below[2:]
        if below in table:
            yield from _known(below, path)


def _ours(kind: inspect.Type, path: str) -> Iterator[tuple[str, inspect.Type]]:
    if isinstance(kind, inspect.UnionType):
        kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.ListType):
        yield from _ours(kind.item_type, f"{path}[]")
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            below = f"{path}.{field.encode_name}".lstrip(".")
            yield below, field.type
            yield from _ours(field.type, below)


def _struct(kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.UnionType):
        kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    return kind.cls if isinstance(kind, inspect.StructType) else None


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return f"`{path.rpartition('.')[2]}`"


def main(root: Path) -> None:
    """Write both tables into the checkout at `root`."""
    readme = root / "README.md"
    readme.write_text(with_summary(readme.read_text()))
    (root / "docs" / "supported.md").write_text(complete())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The table of metrics of docs/monitoring.md. Tests hold the components to it, and what Prometheus has of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from localcluster.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "monitoring.md"
_ROW = re.compile(r"^\| ([^|]+) \| ([^|]*`kubevirt_[^|]+) \| ([^|]*) \| (\w+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row says it of several."""

    component: str
    """In the words of the page, for example "all but virt-api, which has no queue"."""

    labels: frozenset[str]
    """Those that it may have; one without a value is left out."""

    kind: str


def documented() -> dict[str, Metric]:
    """By name. A name of the page has alternatives in braces, and begins with "…" if it begins like the one before."""
    found: dict[str, Metric] = {}
    for component, names, labels, kind in _ROW.findall(PAGE.read_text()):
        metric = Metric(component, _labels(labels), kind)
        stem = ""
        for pattern in re.findall(r"`((?:kubevirt_|…)[^`]+)`", names):
            for name in _alternatives(pattern.replace("…", stem)):
                found[name] = metric
            stem = "kubevirt_vmi_migration" if "migration" in pattern else ""
    return found


def _labels(cell: str) -> frozenset[str]:
    """A label's values may follow it, after a colon; then it is the last."""
    return frozenset(re.findall(r"[a-z_]+", cell.partition(":")[0]))


def _alternatives(pattern: str) -> list[str]:
    made = [""]
    for part in re.split(r"(\{[^}]*\})", pattern):
        choices = part[1:-1].split(",") if part.startswith("{") else [part]
        made = [before + choice for before in made for choice in choices]
    return made

"""The queries of a Grafana dashboard, with its variables filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

VARIABLES = {
    "__range": "10m",
    "__rate_interval": "1m",
    "__interval": "15s",
    "instance": ".*",
    "node": ".*",
    "name": ".*",
    "namespace": ".*",
    "cluster": "",
}
"""As if somebody had selected "All"; of Grafana's own, durations."""


class Query(NamedTuple):
    """Of a panel."""

    panel: str
    expression: str


def queries(dashboard: Mapping[str, Any], variables: Mapping[str, str] = VARIABLES) -> list[Query]:
    """Of all panels, also those in rows that are collapsed."""
    return [
        Query(panel["title"], filled(target["expr"], variables))
        for panel in _panels(dashboard)
        for target in panel.get("targets", ())
        if target.get("expr")
    ]


def _panels(parent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in parent.get("panels", ()):
        yield panel
        yield from _panels(panel)


def filled(expression: str, variables: Mapping[str, str]) -> str:
    """Without variables; "$1" is not one.

    Raises:
        KeyError: one is not known.
    """
    return re.sub(r"\$\{(\w+)(?::\w+)?\}|\$([A-Za-z_]\w*)", lambda found: variables[found[1] or found[2]], expression)


def unfiltered(expression: str) -> str:
    """The query without the comparison at its end that leaves out what is nothing, "> 0"."""
    return re.sub(r"\s*>\s*0\s*$", "", expression)

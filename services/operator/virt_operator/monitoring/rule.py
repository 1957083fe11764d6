"""An alert and a recording rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CRITICAL, WARNING, INFO, NONE = "critical", "warning", "info", "none"
_PART_OF = {"kubernetes_operator_part_of": "kubevirt", "kubernetes_operator_component": "kubevirt"}


@dataclass(frozen=True, slots=True)
class Alert:
    """When somebody has to look. There is a page docs/runbooks/NAME.md for each."""

    name: str
    expression: str
    summary: str
    severity: str
    health: str
    """What it says of the suite's own health."""

    lasts: str = ""
    """For how long the expression holds before the alert is raised, for example "10m"."""

    description: str = ""

    def to_body(self, runbooks: str) -> dict[str, Any]:
        """As the API has it. `runbooks` is a URL with "%s" for the name."""
        annotations = {"summary": self.summary, "runbook_url": runbooks.replace("%s", self.name)}
        if self.description:
            annotations["description"] = self.description
        body: dict[str, Any] = {"alert": self.name, "expr": self.expression}
        if self.lasts:
            body["for"] = self.lasts
        labels = {"severity": self.severity, "operator_health_impact": self.health, **_PART_OF}
        return {**body, "annotations": annotations, "labels": labels}


@dataclass(frozen=True, slots=True)
class Record:
    """A series that Prometheus computes."""

    name: str
    expression: str

    def to_body(self) -> dict[str, Any]:
        """As the API has it."""
        return {"record": self.name, "expr": self.expression}

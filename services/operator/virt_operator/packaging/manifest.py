"""Writes kubevirt-operator.yaml and kubevirt-cr.yaml, the two files that a user applies, and kubevirt-monitoring.yaml
for a cluster with the Prometheus operator. Called by __main__.py.

The same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from virt_operator.strategy.monitoring import monitoring_objects
from virt_operator.strategy.operator_objects import kubevirt_object, operator_objects
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings


class PlainDumper(yaml.SafeDumper):
    """Without anchors: the two versions of a CRD share one schema in memory, not in the file."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def write_manifests(settings: InstallSettings, folder: Path, *, use_emulation: bool, version: str = "") -> list[Path]:
    """Write both files into `folder` (made if absent) and return their paths.

    `version` is the release, written as a label for people; the suite itself reads its version from its images.
    """
    objects = operator_objects(settings)
    if version:
        deployment = objects[-1]
        deployment["metadata"]["labels"]["app.kubernetes.io/version"] = version
    folder.mkdir(parents=True, exist_ok=True)
    operator, suite = folder / "kubevirt-operator.yaml", folder / "kubevirt-cr.yaml"
    operator.write_text(_yaml(objects))
    suite.write_text(_yaml([kubevirt_object(settings, use_emulation)]))
    return [operator, suite]


def write_monitoring(folder: Path, namespace: str, monitor_namespace: str, account: str, runbooks: str) -> Path:
    """Write kubevirt-monitoring.yaml into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kubevirt-monitoring.yaml"
    path.write_text(_yaml(monitoring_objects(namespace, monitor_namespace, account, runbooks)))
    return path


def _yaml(objects: Iterable[Body]) -> str:
    return yaml.dump_all(objects, Dumper=PlainDumper, sort_keys=False, explicit_start=True, width=120)

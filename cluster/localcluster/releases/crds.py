"""The CRDs of a tree, printed by its own operator's code, and what of released ones it breaks. Called by contracts.py.

Stored objects, and clients of an older release, need each group, kind, version, field and allowed value further on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from localcluster.progress import PartFailed
from localcluster.releases import tree
from localcluster.releases.crd_schema import narrowed

_PRINT = """
import json
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.settings import InstallSettings
settings = InstallSettings("kubevirt", "registry", "tag")
objects = (*operator_objects(settings), *desired_objects(settings))
print(json.dumps([body for body in objects if body["kind"] == "CustomResourceDefinition"]))
"""

Definition = dict[str, Any]


def of_tree(source: Path) -> list[Definition]:
    """The CRDs that the release in `source` installs. Raises PartFailed if its code does not run."""
    argv = [sys.executable, "-c", _PRINT]
    done = subprocess.run(argv, env=tree.environment(source), cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PartFailed("CRDs", f"{source}: {done.stderr.strip().splitlines()[-1]}")
    found: list[Definition] = json.loads(done.stdout)
    return found


def problems(released: Sequence[Definition], current: Sequence[Definition]) -> list[str]:
    """What breaks objects or clients of the released CRDs, with the path of each field."""
    ours = {body["metadata"]["name"]: body["spec"] for body in current}
    found: list[str] = []
    for body in released:
        name = body["metadata"]["name"]
        found += _definition(name, body["spec"], ours[name]) if name in ours else [f"{name}: is removed"]
    return found


def _definition(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for field in ("group", "scope"):
        if old[field] != new[field]:
            yield f"{name}: {field} was {old[field]} and is {new[field]}"
    yield from _names(name, old["names"], new["names"])
    versions = {version["name"]: version for version in new["versions"]}
    for version in old["versions"]:
        path = f"{name} {version['name']}"
        if version["name"] not in versions:
            yield f"{path}: the version is removed"
        else:
            yield from _version(path, version, versions[version["name"]])


def _names(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for field, value in old.items():
        if isinstance(value, list):
            for word in value:
                if word not in new.get(field, ()):
                    yield f"{name}: names.{field} {word} is removed"
        elif new.get(field) != value:
            yield f"{name}: names.{field} was {value} and is {new.get(field)}"


def _version(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["served"] and not new["served"]:
        yield f"{path}: is served no more"
    if old["storage"] and not new["storage"]:
        yield f"{path}: is stored no more, stored objects have no conversion"
    for subresource, settings in old.get("subresources", {}).items():
        if new.get("subresources", {}).get(subresource) != settings:
            yield f"{path}: the subresource {subresource} is removed or changed"
    if "status" in new.get("subresources", {}) and "status" not in old.get("subresources", {}):
        yield f"{path}: status becomes a subresource, writes of it by older components are ignored"
    yield from (f"{path} {text}" for text in narrowed("", _schema(old), _schema(new)))


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
    return found

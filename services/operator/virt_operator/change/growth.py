"""Merges desired and live objects that may only grow: CRDs always, permissions until a change of release is complete.
Pure; called by change/objects.py for each desired object.

If a CRD lost a field, the API server would prune it from all objects, so fields of a newer release stay after a
rollback. If a role lost a rule, components of the old release would stop working.
"""

from __future__ import annotations

from typing import Any

from virt_operator.change.versions import is_older
from virt_operator.strategy.desired import STRATEGY_RELEASE
from virt_operator.strategy.ref import Body
from virt_operator.strategy.rules import covers, union

_ROLES = ("ClusterRole", "Role")
_RESTARTABLE = ("Deployment", "DaemonSet")
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""Written into a pod template by `kubectl rollout restart`: without it the restart would be undone."""


def grown(desired: Body, live: Body, *, updating: bool) -> Body:
    """`desired` with the parts of `live` that must be kept."""
    if desired["kind"] == "CustomResourceDefinition":
        return _definition(desired, live)
    restarted = _restarted_at(live)
    if desired["kind"] in _RESTARTABLE and restarted is not None:
        return _with_restart(desired, restarted)
    if desired["kind"] in _ROLES and updating and covers(desired["rules"], live.get("rules") or []):
        return {**desired, "rules": union([*(live.get("rules") or []), *desired["rules"]])}
    return desired


def _restarted_at(live: Body) -> str | None:
    meta = live.get("spec", {}).get("template", {}).get("metadata", {})
    found: str | None = (meta.get("annotations") or {}).get(_RESTARTED_AT)
    return found


def _with_restart(desired: Body, moment: str) -> Body:
    spec, template = desired["spec"], desired["spec"]["template"]
    meta = template.get("metadata", {})
    annotations = {**meta.get("annotations", {}), _RESTARTED_AT: moment}
    return {**desired, "spec": {**spec, "template": {**template, "metadata": {**meta, "annotations": annotations}}}}


def _definition(desired: Body, live: Body) -> Body:
    written_by = (live["metadata"].get("annotations") or {}).get(STRATEGY_RELEASE, "")
    newer = is_older((desired["metadata"].get("annotations") or {}).get(STRATEGY_RELEASE, ""), written_by)
    spec = _merged(desired["spec"], live.get("spec", {}), keep=newer)
    if not newer:
        return {**desired, "spec": spec}
    return {
        **desired,
        "metadata": {**desired["metadata"], "annotations": live["metadata"]["annotations"]},
        "spec": spec,
    }


def _merged(wanted: Any, found: Any, *, keep: bool) -> Any:
    """A deep merge. On conflicts `wanted` wins, or `found` with `keep`."""
    if wanted == found:
        return found if keep else wanted
    if isinstance(wanted, dict) and isinstance(found, dict):
        both = {key: _merged(wanted[key], found[key], keep=keep) for key in wanted if key in found}
        return {**found, **wanted, **both}
    if _is_versions(wanted) and _is_versions(found):
        live = {version["name"]: version for version in found}
        names = {version["name"] for version in wanted}
        merged = [
            _merged(version, live[version["name"]], keep=keep) if version["name"] in live else version
            for version in wanted
        ]
        return [*merged, *(version for version in found if version["name"] not in names)]
    return found if keep else wanted


def _is_versions(value: Any) -> bool:
    """Whether the value is the list spec.versions: only its entries have a name and a schema."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(version, dict) and "schema" in version for version in value)
    )

"""Decides about KubeVirt objects. Pure; called by server.py, which reads the required objects.

The reconciler refuses the same, in conditions, for objects that were stored while the webhook was down (suite/spec.py,
reconcile/status.py, removal/plan.py). A change that does not change the spec is allowed, and so is any change of an
object that is being deleted, so that users can always repair or remove a stored object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from virt_core.objects.admission_review import Denial

from virt_operator.customization.customize import customized
from virt_operator.customization.patches import patches_of
from virt_operator.settings import Settings
from virt_operator.strategy.desired import desired_objects
from virt_operator.suite.feature_gates import gate_warnings
from virt_operator.suite.no_migrations import limit_warnings
from virt_operator.suite.spec import RefusedSpec, blocks_uninstall, install_settings
from virt_operator.webhook.review import AdmissionRequest, Reviewed


def misplaced(new: Reviewed, operator: Settings) -> Denial | None:
    """Refuses a KubeVirt object outside of the operator's namespace, which would never be installed."""
    namespace = new.metadata.namespace
    if namespace == operator.namespace:
        return None
    allowed = f"only {operator.namespace!r}, the namespace of virt-operator, is allowed"
    return Denial("Invalid", 422, f"metadata.namespace: {namespace!r} is refused, {allowed}")


def second(others: Iterable[dict[str, Any]]) -> Denial | None:
    """Refuses a second KubeVirt object in the cluster; an object that is being deleted counts as well."""
    for other in others:
        meta = other["metadata"]
        deletion = " and is being deleted: wait until it is gone" if meta.get("deletionTimestamp") else ""
        name = f"{meta['namespace']}/{meta['name']}"
        return Denial(
            "Forbidden", 403, f"KubeVirt object {name} is there{deletion}; a cluster has one, change that one"
        )
    return None


def refused_spec(request: AdmissionRequest, operator: Settings) -> Denial | None:
    """Refuses a spec that cannot be installed, unless it is stored already and does not change."""
    new, old = request.object, request.old_object
    if new is None or new.metadata.deletion_timestamp is not None:
        return None
    if old is not None and old.spec == new.spec:
        return None
    try:
        settings, patches = install_settings(new.spec, operator), patches_of(new.spec)
        if patches and settings.tag == operator.tag:  # the objects of other releases are unknown here
            customized(desired_objects(settings), patches)
    except RefusedSpec as refused:
        return Denial("Invalid", 422, str(refused))
    return None


def warnings(request: AdmissionRequest) -> tuple[str, ...]:
    """Warnings about fields of an admitted spec that have no effect, or another one than most who set them expect."""
    new, old = request.object, request.old_object
    if new is None or (old is not None and old.spec == new.spec):
        return ()
    return (*gate_warnings(new.spec), *limit_warnings(new.spec))


def asks_for_workloads(request: AdmissionRequest) -> bool:
    """Whether the decision depends on existing workloads."""
    old = request.old_object
    if request.operation != "DELETE" or old is None or old.metadata.deletion_timestamp is not None:
        return False
    return blocks_uninstall(old.spec)


def kept_by(workload: str | None) -> Denial | None:
    """Refuses the deletion if `workload` exists, for a request that `asks_for_workloads`."""
    if workload is None:
        return None
    return Denial(
        "Forbidden",
        403,
        f"{workload} exists and spec.uninstallStrategy is 'BlockUninstallIfWorkloadsExist': "
        "delete all workloads first, or set it to 'RemoveWorkloads'",
    )

"""What happens to each object of the suite, and which permissions it needs. Pure.

The installed release's objects are compared with the target's, both as their releases printed them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from virt_operator.preflight import estimates
from virt_operator.preflight.finding import Finding, Step, Subject, blocking, info, subject_of
from virt_operator.preflight.observed import Cluster, Target
from virt_operator.strategy.operator_rbac import ACCOUNT
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.suite import permissions
from virt_operator.suite.drift import desired_parts

_DEFINITION = "CustomResourceDefinition"
_ROLES = ("ClusterRole", "Role")


def judge_permissions(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """A finding for each permission that the target's operator needs and this one lacks; else one that says that it
    has them all."""
    if target.strategy is None:
        return
    subject = Subject("ServiceAccount", cluster.operator.namespace, ACCOUNT)
    lacking = permissions.missing(cluster.held, target.strategy.operator, cluster.operator.namespace)
    for permission in lacking:
        message = f"lacks {permission}: apply kubevirt-operator.yaml of release {target.strategy.release} first"
        yield blocking(subject, "PermissionMissing", message)
    if not lacking:
        yield info(subject, "PermissionsHeld", f"holds all that release {target.strategy.release} needs")


def judge_objects(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """A finding for each object that will be created, changed or removed; definitions are judged by stored.py."""
    if target.strategy is None or cluster.installed is None:
        return
    before, after = _by_ref(cluster.installed.objects), _by_ref(target.strategy.objects)
    for ref in sorted(after.keys() | before.keys()):
        found = _object(ref, before.get(ref), after.get(ref))
        if found is not None:
            yield found


def _by_ref(bodies: Iterable[Body]) -> dict[Ref, Body]:
    return {ref_of(body): body for body in bodies if body["kind"] != _DEFINITION}


def _object(ref: Ref, before: Body | None, after: Body | None) -> Finding | None:
    subject = subject_of(ref)
    if after is None:
        message = "is not part of the target: it is removed at the end"
        return info(subject, "WillBeRemoved", message, Step("delete", estimates.WRITE_OBJECT))
    if before is None:
        return info(subject, "WillBeCreated", "is new", Step("create", estimates.WRITE_OBJECT))
    if desired_parts(before) == desired_parts(after):
        return None
    message = "changes"
    if ref.kind in _ROLES:
        message = "changes; until the change is complete it has the permissions of both releases"
    return info(subject, "WillBeChanged", message, Step("update", estimates.WRITE_OBJECT))

"""Permissions of each service account compared with its requests in the audit log, after the other tests.

Both ways: nothing is granted that was not used, but for what is explained here line by line; and no request
was forbidden.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.e2e.audit import STOLEN_TOKEN, installed_at, requests, roles_written_by_others
from tests.e2e.cluster import NAMESPACE, get
from tests.e2e.permissions import Grants, Permission

pytestmark = pytest.mark.last(1)  # it judges what all the others made the suite do


@dataclass(frozen=True, slots=True)
class Reason:
    """Why permissions of an account that match `permission`, as Permission prints it, may be unused."""

    account: str
    permission: str
    why: str


UNUSED = (
    Reason(
        "kubevirt-controller",
        "update virtualmachineinstances/finalizers.kubevirt.io",
        "checked by the admission plugin OwnerReferencesPermissionEnforcement, which this cluster does not enable",
    ),
    Reason("kubevirt-controller", "update virtualmachines/finalizers.kubevirt.io", "the same"),
    Reason("kubevirt-controller", "update virtualmachineinstancereplicasets/finalizers.kubevirt.io", "the same"),
    Reason(
        "kubevirt-controller",
        "create pods/eviction",
        "only where workloadUpdateStrategy replaces launchers by evictions",
    ),
    Reason(
        "kubevirt-controller",
        "get virtualmachineinstancemigrations.kubevirt.io",
        "only when a target pod is created in a later pass than the one that counted its place",
    ),
    Reason("kubevirt-controller", "get pods", "only when a pod vanished whose end was not seen"),
    Reason("kubevirt-controller", "get nodes", "only when the node of a guest is no longer there"),
    Reason("kubevirt-controller", "patch nodes", "only when a handler has been silent for five minutes"),
    Reason("*", "create leases.coordination.k8s.io in *", "only where nobody has led yet"),
    Reason("kubevirt-operator", "create validatingwebhookconfigurations.*", "only when the webhook is not registered"),
    Reason("kubevirt-operator", "list events.events.k8s.io in *", "only while pods of the suite are not created"),
    Reason("kubevirt-operator", "patch secrets in *", "only when a certificate is renewed"),
    Reason(
        "kubevirt-operator",
        "* signers.certificates.k8s.io kubevirt.io/virt-handler",
        "checked by API server's admission for approving and signing, without an audited request",
    ),
    Reason(
        "kubevirt-operator",
        "create customresourcedefinitions.*",
        "only when a suite is installed, or a release has a kind that the one before had not",
    ),
    Reason("kubevirt-operator", "list nodes", "only when the suite is removed"),
    Reason("kubevirt-operator", "* servicemonitors.*", "only where the Prometheus operator's kinds are"),
    Reason("kubevirt-operator", "* prometheusrules.*", "the same"),
    Reason("kubevirt-operator", "list serviceaccounts", "the same: the account of Prometheus, in any namespace"),
    Reason("kubevirt-operator", "watch serviceaccounts", "the same"),
    Reason("kubevirt-operator", "get services in *", "granted to Prometheus, where there is one"),
    Reason("kubevirt-operator", "* endpoints in *", "the same"),
    Reason("kubevirt-operator", "get pods in *", "the same"),
    Reason("kubevirt-operator", "delete *", "only when the suite is removed, or what a release no longer has"),
)
REPAIRED_WITHIN = timedelta(seconds=60)  # test_drift.py, which takes roles away and finds them put back


def accounts() -> list[str]:
    """The service accounts of the suite's namespace; "default" too, for nothing of ours may use it."""
    return sorted(account["metadata"]["name"] for account in get("serviceaccounts", "-n", NAMESPACE)["items"])


def explained(account: str, permission: Permission) -> str:
    """The reason, "" if there is none."""
    for reason in UNUSED:
        if fnmatch.fnmatchcase(account, reason.account) and fnmatch.fnmatchcase(str(permission), reason.permission):
            return reason.why
    return ""


def test_each_account_may_do_what_it_does_and_no_more() -> None:
    since = installed_at()
    grants = Grants.read()
    found = list(requests(since))
    to_others, of_kubernetes = grants.granted_to_others(), grants.of_kubernetes()
    surplus = []
    for account in accounts():
        granted = grants.of(account)
        own = [request for request in found if request.account == account]
        print(f"{account}: {len(own)} requests since {since:%H:%M:%S}, {len(granted)} permissions")
        for permission in sorted(granted):
            if any(permission.allows(request) for request in own):
                continue
            if account == "kubevirt-operator" and permission in to_others:
                why = "held to be granted: nobody grants what they do not hold"
            elif permission in of_kubernetes:
                why = "in a role of Kubernetes' own, which is bound as it is"
            else:
                why = explained(account, permission)
            print(f"  unused: {permission}: {why or 'NOT EXPLAINED'}")
            surplus += [] if why else [f"{account}: {permission}"]
    assert not surplus, "granted, never used and not explained:\n" + "\n".join(surplus)


def test_no_request_was_forbidden() -> None:
    since = installed_at()
    disturbed = roles_written_by_others(since)
    refused = []
    for request in requests(since):
        if not request.forbidden or request.agent == STOLEN_TOKEN:
            continue
        why = any(moment <= request.moment <= moment + REPAIRED_WITHIN for moment in disturbed)
        print(f"forbidden: {request}{': somebody had just changed a role' if why else ''}")
        refused += [] if why else [request]
    assert not refused, "\n".join(map(str, refused[:20]))


def test_every_reason_is_about_something_granted() -> None:
    grants = Grants.read()
    granted = {(account, str(grant)) for account in accounts() for grant in grants.of(account)}
    stale = [
        reason
        for reason in UNUSED
        if not any(
            fnmatch.fnmatchcase(a, reason.account) and fnmatch.fnmatchcase(p, reason.permission) for a, p in granted
        )
    ]
    assert not stale

"""What accounts with KubeVirt's roles may do, as the API server decides it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

import pytest

from tests.e2e.cluster import apply, get, kubectl, until
from tests.samples.user_roles import GRANTED_TO_NOBODY, SUBRESOURCES, kubevirts

pytestmark = pytest.mark.parallel

NAMESPACE = "users-of-machines"
AGGREGATED = ("admin", "edit", "view")  # bound as Kubernetes' own roles, into which KubeVirt's are aggregated
BOUND = {**{role: role for role in AGGREGATED}, "migrate": "kubevirt.io:migrate"}
CONTAINED = {"admin": ("admin", "edit", "view"), "edit": ("edit", "view")}
"""Kubernetes' admin contains its edit, which contains its view."""

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def accounts(suite: None) -> Iterator[None]:
    """A ServiceAccount named after each role, and one without any."""
    kubectl("create", "namespace", NAMESPACE)
    try:
        apply(*(account(name) for name in (*BOUND, "nobody")), *(binding(name) for name in BOUND))
        until(lambda: all(map(is_known, BOUND)), "the API server to know the bindings")
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait", "--timeout=180s")


def is_known(name: str) -> bool:
    """Whether the API server goes by the account's role. It reads bindings a moment after they are stored."""
    if name == "migrate":
        return may(name, "update", "virtualmachines", "migrate") == "yes"
    return may(name, "get", "virtualmachines", "expand-spec") == "yes"


def account(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}


def binding(name: str) -> dict[str, object]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": BOUND[name]},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }


def user(name: str) -> str:
    return f"--as=system:serviceaccount:{NAMESPACE}:{name}"


def wanted(*roles: str) -> set[tuple[str, str, str]]:
    """Verb, group and resource of all that KubeVirt's rules grant in these roles or to everybody."""
    there = [body["metadata"]["name"] for body in get("crd")["items"]]
    names = {"instancetype.kubevirt.io:view", *(f"kubevirt.io:{role}" for role in ("default", *roles))}
    return {permission[1:] for permission in kubevirts(there) if permission.role in names}


@pytest.mark.parametrize("name", [*BOUND, "nobody"])
def test_an_account_may_do_what_kubevirts_role_allows_and_no_more(accounts: None, name: str) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": NAMESPACE},
    }
    answer = json.loads(
        kubectl("create", "--validate=false", "-f", "-", "-o", "json", user(name), stdin=json.dumps(review))
    )
    granted = {
        (verb, group, resource)
        for rule in answer["status"]["resourceRules"]
        for verb, group, resource in product(rule["verbs"], rule["apiGroups"], rule["resources"])
        if group.endswith("kubevirt.io")
    }
    assert granted == wanted(*CONTAINED.get(name, (name,)))


@pytest.mark.parametrize(
    ("name", "allowed"), [("admin", True), ("edit", True), ("view", False), ("migrate", False), ("nobody", False)]
)
def test_kubectl_answers_who_may_start_and_delete_machines(accounts: None, name: str, allowed: bool) -> None:
    answer = "yes" if allowed else "no"
    for verb, resource in (("create", "vm"), ("delete", "vm"), ("delete", "vmi"), ("create", "vmirs")):
        assert kubectl("-n", NAMESPACE, "auth", "can-i", verb, resource, user(name), check=False).strip() == answer
    assert may(name, "update", "virtualmachines", "start") == answer


def test_migration_has_a_role_of_its_own(accounts: None) -> None:
    answers = {name: may(name, "update", "virtualmachines", "migrate") for name in BOUND}
    assert answers == {"admin": "no", "edit": "no", "view": "no", "migrate": "yes"}


def test_a_view_reads_what_guests_report_and_opens_no_console(accounts: None) -> None:
    assert may("view", "get", "virtualmachineinstances", "guestosinfo") == "yes"
    assert may("view", "get", "virtualmachines", "expand-spec") == "yes"
    assert may("view", "get", "virtualmachineinstances", "console") == "no"
    assert may("view", "get", "virtualmachines", "portforward") == "no"


@pytest.mark.parametrize("resource", GRANTED_TO_NOBODY)
def test_what_no_role_grants_is_for_administrators_of_the_cluster(accounts: None, resource: str) -> None:
    kind, _, subresource = resource.partition("/")
    assert may("admin", "update", kind, subresource) == "no"


def may(name: str, verb: str, kind: str, subresource: str) -> str:
    """What the API server answers about a subresource: `kubectl auth can-i` asks about kinds of its discovery only."""
    attributes = {
        "namespace": NAMESPACE,
        "verb": verb,
        "group": SUBRESOURCES,
        "resource": kind,
        "subresource": subresource,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = json.loads(
        kubectl("create", "--validate=false", "-f", "-", "-o", "json", user(name), stdin=json.dumps(review))
    )
    return "yes" if answer["status"]["allowed"] else "no"

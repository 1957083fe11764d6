"""A launcher pod that the API server refuses at first, in a namespace that admits no more than "restricted" pods."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from virt_core.objects.quantity import parse_quantity

from tests.e2e import audit
from tests.e2e.cluster import apply, condition_of, get, kubectl, until, wait
from tests.e2e.guests import TICK_PORT, manifest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

NAME = "refused"
ATTEMPTS = 4  # at 0, 2, 4 and 8 seconds


def quota(namespace: str, pods: int) -> None:
    """So many pods fit. The API server enforces what the quota's controller has read."""
    meta = {"name": "few", "namespace": namespace}
    apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": str(pods)}}})
    wait("resourcequota", "few", f"jsonpath={{.status.hard.pods}}={pods}", namespace=namespace)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A new one: the controller knows the rules of one that it has read for a minute."""
    name = f"refused-pods-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        kubectl("-n", name, "delete", "vmi", "--all", "--wait", "--timeout=180s")
        kubectl("delete", "namespace", name, "--wait")


def condition(namespace: str, kind: str) -> dict[str, Any]:
    return condition_of(get("-n", namespace, "vmi", NAME), kind)


def until_attempts(since: datetime, namespace: str) -> list[audit.Request]:
    """What the controller has asked of the API server in the namespace, up to the last of ATTEMPTS creations of a pod;
    empty before. A busy machine reads the log late, when the next attempt may have been made."""
    found = [request for request in audit.requests(since) if request.namespace == namespace]
    mine = sorted((r for r in found if "controller" in r.account), key=lambda request: request.moment)
    creations = [number for number, request in enumerate(mine, 1) if what(request) == "create pods"]
    return mine[: creations[ATTEMPTS - 1]] if len(creations) >= ATTEMPTS else []


def what(request: audit.Request) -> str:
    """Verb and resource."""
    return f"{request.verb} {request.resource}"


def test_a_pod_over_quota_is_reported_in_the_api_server_s_words_and_starts_when_there_is_room(
    namespace: str,
) -> None:
    body = manifest(NAME)
    body["metadata"]["namespace"] = namespace
    # The guest itself answers there, so that Ready says that it has booted.
    body["spec"]["readinessProbe"] = {"tcpSocket": {"port": TICK_PORT}, "periodSeconds": 1}
    quota(namespace, 0)
    since = datetime.now(UTC)
    apply(body)
    took = until(
        lambda: condition(namespace, "Synchronized").get("reason") == "FailedCreate", "the refusal to be reported"
    )
    synchronized = condition(namespace, "Synchronized")
    print(f"reported after {took:.1f} s: {synchronized['message']}")
    assert synchronized["status"] == "False"
    assert "exceeded quota: few" in synchronized["message"]
    assert get("-n", namespace, "vmi", NAME)["status"]["phase"] == "Pending"
    for number in range(10):  # whatever wakes the controller
        kubectl("-n", namespace, "label", "vmi", NAME, f"changed={number}", "--overwrite")
    until(lambda: bool(until_attempts(since, namespace)), f"{ATTEMPTS} attempts", every=0.5)
    made = until_attempts(since, namespace)
    waited, counted = (made[-1].moment - since).total_seconds(), Counter(map(what, made))
    print(f"requests in {waited:.0f} s: {dict(counted)}")
    assert waited > 6
    rules = {"list resourcequotas": 1, "list limitranges": 1, "get namespaces": 1}
    assert counted == {"create pods": ATTEMPTS, "create events": 1, "patch virtualmachineinstances": 1, **rules}
    quota(namespace, 1)
    # The next attempt may be half a minute away, and then the guest boots.
    until(lambda: condition(namespace, "Ready").get("status") == "True", "the guest to answer", 2 * PATIENCE)
    assert get("-n", namespace, "vmi", NAME)["status"]["phase"] == "Running"
    until(lambda: condition(namespace, "Synchronized").get("status", "True") == "True", "nothing to be refused")
    reasons = [event["reason"] for event in get("-n", namespace, "events")["items"] if event["type"] == "Warning"]
    assert reasons.count("FailedCreate") == 1


def test_limits_are_set_where_the_namespace_s_quota_asks_for_limits(namespace: str) -> None:
    hard = {"requests.memory": "2Gi", "limits.memory": "2Gi", "limits.cpu": "4"}
    meta = {"name": "limits", "namespace": namespace}
    apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}})
    wait("resourcequota", "limits", "jsonpath={.status.hard.limits\\.cpu}=4", namespace=namespace)
    body = manifest(NAME)
    body["metadata"]["namespace"] = namespace
    apply(body)
    wait("vmi", NAME, "jsonpath={.status.phase}=Running", namespace=namespace)
    (pod,) = get("-n", namespace, "pods", "-l", "kubevirt.io=virt-launcher")["items"]
    resources = pod["spec"]["containers"][0]["resources"]
    print(f"limits {resources['limits']} for requests {resources['requests']}")
    assert parse_quantity(resources["limits"]["memory"]) == 2 * parse_quantity(resources["requests"]["memory"])
    assert resources["limits"]["cpu"] == "1"
    events = [event for event in get("-n", namespace, "events")["items"] if event["type"] == "Warning"]
    # Of the pod, a busy kubelet may have something to say.
    refusals = [event for event in events if event["involvedObject"]["kind"] == "VirtualMachineInstance"]
    assert [(event["reason"], event["message"]) for event in refusals] == []

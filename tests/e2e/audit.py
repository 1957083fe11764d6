"""Requests of the suite's service accounts to the API server, from the local cluster's audit log. For tests and `make
bench`.

The log has one line for each finished request, two for a watch (begun, ended): a request counts when it began, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE, get, on_this_machine

STOLEN_TOKEN = "stolen-token"
"""User-Agent of a test that uses a component's token for what the component never does."""

_USER = f"system:serviceaccount:{NAMESPACE}:"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a service account of the suite's namespace. `namespace` and `name` are "" where it has none."""

    moment: datetime
    account: str
    verb: str
    group: str
    resource: str
    """With its subresource, as RBAC has it, for example "kubevirts/status"; "" for a path that is no resource."""
    namespace: str
    name: str
    code: int
    path: str
    agent: str
    """The User-Agent of the client."""
    forbidden: bool
    """By authorization; admission, a quota for example, answers 403 as well."""

    def __str__(self) -> str:
        return f"{self.moment:%H:%M:%S} {self.account} {self.verb} {self.path} answered {self.code}"


def log_file() -> Path:
    """The audit log of the cluster in use; skips the test where another cluster than this machine's is."""
    if not on_this_machine():
        pytest.skip("the audit log of this cluster is not on this machine")
    return Cluster.load().audit_log


def requests(since: datetime, until: datetime | None = None) -> Iterator[Request]:
    """All requests of our service accounts that were received at `since` or later, and before `until`."""
    seen: set[str] = set()
    ours = f'"{_USER}'.encode()
    with log_file().open("rb") as lines:
        for line in lines:
            if ours not in line:
                continue
            event = json.loads(line)
            moment = datetime.fromisoformat(event["requestReceivedTimestamp"])
            if moment < since or (until is not None and moment >= until) or event["auditID"] in seen:
                continue
            seen.add(event["auditID"])
            if event["user"]["username"].startswith(_USER):
                yield _request(event, moment)


def roles_written_by_others(since: datetime) -> list[datetime]:
    """When somebody else wrote a role or a binding of the suite's: until that is repaired, we are forbidden things."""
    moments = []
    with log_file().open("rb") as lines:
        for line in lines:
            if b'"rbac.authorization.k8s.io"' not in line or f'"{_USER}'.encode() in line:
                continue
            event = json.loads(line)
            moment = datetime.fromisoformat(event["requestReceivedTimestamp"])
            ours = event.get("objectRef", {}).get("name", "").startswith("kubevirt")
            if moment >= since and ours and event["verb"] in ("patch", "update", "delete"):
                moments.append(moment)
    return moments


def _request(event: dict[str, Any], moment: datetime) -> Request:
    target = event.get("objectRef", {})
    resource = "/".join(filter(None, (target.get("resource", ""), target.get("subresource", ""))))
    code = event.get("responseStatus", {}).get("code", 0)
    decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
    return Request(
        moment=moment,
        account=event["user"]["username"].removeprefix(_USER),
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=resource,
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=code,
        path=event["requestURI"],
        agent=event.get("userAgent", ""),
        forbidden=code == 403 and decision != "allow",
    )


def installed_at() -> datetime:
    """When the operator that runs now was first installed: what another build did before is not its doing."""
    sets = get("replicasets", "-n", NAMESPACE, "-l", "kubevirt.io=virt-operator")["items"]
    deployment = get("deployment", "virt-operator", "-n", NAMESPACE)
    running = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    made = [
        daemon_set["metadata"]["creationTimestamp"]
        for daemon_set in sets
        if daemon_set["spec"]["template"]["spec"]["containers"][0]["image"] == running
    ]
    return datetime.fromisoformat(min(made))

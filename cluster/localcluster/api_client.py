"""Requests of `up` and `status` to the API server, with the administrator's certificate. Stdlib only."""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
from typing import Any

from localcluster.settings import API_PORT, HOST_ADDRESS, Cluster

TIMEOUT_SECONDS = 3.0


class NoAnswer(Exception):
    """The API server cannot be reached or is not ready: retry later."""


def get(cluster: Cluster, path: str) -> bytes:
    """Body of a GET. Raises NoAnswer for every status except 200."""
    try:
        context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
        connection = http.client.HTTPSConnection(HOST_ADDRESS, API_PORT, timeout=TIMEOUT_SECONDS, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{path}: {error}") from error
    if response.status != http.HTTPStatus.OK:
        raise NoAnswer(f"{path}: {response.status} {body[:200]!r}")
    return body


def is_ready(cluster: Cluster) -> bool:
    try:
        get(cluster, "/readyz")
    except NoAnswer:
        return False
    return True


def nodes_with_fresh_lease(cluster: Cluster, renewed_after: float) -> set[str]:
    """Nodes that are Ready and whose kubelet has renewed its lease since (seconds since the epoch).

    After a crash the API server's status of a node is stale: only the lease shows that the kubelet is alive.
    """
    try:
        nodes = json.loads(get(cluster, "/api/v1/nodes"))["items"]
        leases = json.loads(get(cluster, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"))["items"]
    except NoAnswer:
        return set()
    fresh = {lease["metadata"]["name"] for lease in leases if renewed(lease) >= renewed_after}
    return {node["metadata"]["name"] for node in nodes if is_node_ready(node)} & fresh


def renewed(lease: dict[str, Any]) -> float:
    """Time of the lease's renewal in seconds since the epoch; 0 if it was never renewed."""
    text = lease["spec"].get("renewTime")
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0


def is_node_ready(node: dict[str, Any]) -> bool:
    """Whether the node is Ready and has no taint for having been unreachable."""
    conditions = node.get("status", {}).get("conditions", [])
    away = any(taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints", []))
    return not away and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

"""Removes and installs the suite as a user does, and finds objects that are left. For test_removal.py."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import Any

from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, wait
from tests.support.patience import PATIENCE

OPERATOR = str(ROOT / "build" / "manifests" / "kubevirt-operator.yaml")
SUITE = str(ROOT / "build" / "manifests" / "kubevirt-cr.yaml")
_EVERYWHERE = (
    "apiservices,clusterrolebindings,clusterroles,customresourcedefinitions,mutatingwebhookconfigurations,namespaces,"
    "nodes,priorityclasses,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "validatingwebhookconfigurations,configmaps,controllerrevisions.apps,daemonsets,deployments,"
    "endpointslices.discovery.k8s.io,jobs,leases.coordination.k8s.io,poddisruptionbudgets,pods,replicasets,"
    "rolebindings,roles,secrets,serviceaccounts,services"
)


def install() -> float:
    """Apply both manifests back to back and wait until the suite is Available; returns the seconds that it took."""
    began = time.monotonic()
    kubectl("apply", "-f", OPERATOR)
    kubectl("apply", "-f", SUITE)
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=2 * PATIENCE)
    return time.monotonic() - began


def refusal(*arguments: str) -> str:
    """What kubectl says on standard error when it must fail."""
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0, f"kubectl {' '.join(arguments)} was allowed: {done.stdout}"
    return done.stderr


def operators_own() -> dict[str, str]:
    """UIDs of what the operator's manifest holds, by kind and name."""
    objects = json.loads(kubectl("get", "-f", OPERATOR, "-o", "json"))["items"]
    assert not [body for body in objects if "deletionTimestamp" in body["metadata"]]
    return {f"{body['kind']} {body['metadata']['name']}": body["metadata"]["uid"] for body in objects}


def left() -> list[str]:
    """Everything in the cluster that is ours or says that it is: by name, label, annotation or finalizer."""
    return sorted(_name(body) for body in get(_EVERYWHERE, "-A")["items"] if _ours(body))


def _ours(body: dict[str, Any]) -> bool:
    meta = body["metadata"]
    if body["kind"] == "ConfigMap" and meta["name"] == "kube-root-ca.crt":
        return False
    texts = [meta["name"], meta.get("namespace", ""), *meta.get("finalizers", ()), *meta.get("labels", {})]
    texts += [*meta.get("annotations", {}), *meta.get("labels", {}).values()]
    texts += [group for rule in body.get("rules") or () for group in rule.get("apiGroups", ())]
    return any("kubevirt" in text or text.startswith("virt-") for text in texts)


def _name(body: dict[str, Any]) -> str:
    return f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}"


def last_resort() -> None:
    """Run the command of docs/install.md for a cluster from which the operator was taken by force."""
    text = (ROOT / "docs" / "install.md").read_text()
    found = re.search(r"```sh\n(# last resort\n.*?)```", text, re.S)
    assert found is not None, "docs/install.md has no such command"
    done = subprocess.run(["sh", "-c", found[1]], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout, done.stderr)

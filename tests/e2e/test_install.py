"""The suite after `make install`: what a user sees, and what happens to objects that somebody changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait


@pytest.mark.parallel
def test_the_suite_is_deployed_and_its_conditions_show_it() -> None:
    wait("kv", "kubevirt", "condition=Progressing=false", namespace=NAMESPACE)
    status = get("-n", NAMESPACE, "kv", "kubevirt")["status"]
    assert status["phase"] == "Deployed"
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert (conditions["Available"], conditions["Progressing"], conditions["Degraded"]) == ("True", "False", "False")
    assert status["observedKubeVirtVersion"] == status["targetKubeVirtVersion"] != ""
    assert "AllComponentsReady" in kubectl("-n", NAMESPACE, "describe", "kv", "kubevirt")
    budgets = kubectl("-n", NAMESPACE, "get", "poddisruptionbudgets", "-o", "name").split()
    assert [name.rpartition("/")[2] for name in budgets] == [
        f"virt-{name}-pdb" for name in ("api", "controller", "operator")
    ]


@pytest.mark.parallel
def test_crds_are_structural_and_know_all_of_kubevirts_fields(tmp_path: Path) -> None:
    for name in ("kubevirts.kubevirt.io", "virtualmachineinstances.kubevirt.io"):
        crd = get("crd", name)
        types = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert types["Established"] == "True" and types.get("NonStructuralSchema", "False") == "False"
    # A suite of other tests may just have been removed, which kubectl's discovery cache would remember for minutes.
    fresh = f"--cache-dir={tmp_path}"
    explained = kubectl("explain", "vmi.spec.domain.devices.disks", "--api-version=kubevirt.io/v1", fresh)
    assert "bootOrder" in explained and "cdrom" in explained


def test_what_somebody_deletes_or_scales_is_put_back() -> None:
    kubectl("-n", NAMESPACE, "delete", "service", "virt-api")
    until(lambda: "virt-api" in kubectl("-n", NAMESPACE, "get", "services", "-o", "name"), "the Service to come back")
    kubectl("-n", NAMESPACE, "scale", "deployment", "virt-controller", "--replicas=0")
    until(lambda: get("-n", NAMESPACE, "deployment", "virt-controller")["spec"]["replicas"] == 2, "two replicas")
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)


@pytest.mark.parallel
def test_pods_of_the_suite_run_without_privileges_except_the_handler() -> None:
    for pod in get("-n", NAMESPACE, "pods")["items"]:
        for container in pod["spec"]["containers"]:
            if pod["metadata"]["labels"]["kubevirt.io"] == "virt-handler":
                continue
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}, json.dumps(context)
            assert context["allowPrivilegeEscalation"] is False

"""The Helm chart on a cluster: install, upgrade with a guest running, uninstall in order, nothing left.

The suite that the other tests use is removed before, and installed again from its manifests afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster.settings import PROJECT_ROOT
from virt_operator.packaging.chart import write_chart
from virt_operator.packaging.manifest import write_manifests
from virt_operator.strategy.settings import InstallSettings

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait
from tests.e2e.guests import manifest, observed, running
from tests.e2e.helm import helm

pytestmark = pytest.mark.slow
BLOCK = "BlockUninstallIfWorkloadsExist"
CLUSTER_SCOPED = (
    "customresourcedefinitions,clusterroles,clusterrolebindings,apiservices,priorityclasses,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)


def short_names() -> list[str]:
    """Those of the KubeVirt kind that the API server has accepted."""
    accepted: list[str] = get("crd", "kubevirts.kubevirt.io")["status"]["acceptedNames"]["shortNames"]
    return accepted


def left() -> list[str]:
    """Names of what belongs to the suite and is in no namespace that goes away."""
    names = kubectl("get", CLUSTER_SCOPED, "-o", "name").split()
    names += kubectl("-n", "kube-system", "get", "roles,rolebindings", "-o", "name").split()
    return [name for name in names if "kubevirt" in name or "virt-" in name]


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[Path]:
    """The chart for the images that are installed now; without the suite."""
    registry, tag = os.environ["REGISTRY"], (PROJECT_ROOT / "build" / "tag").read_text().strip()
    manifests = write_manifests(InstallSettings(NAMESPACE, registry, tag), tmp_path / "manifests", use_emulation=True)
    for file in reversed(manifests):
        kubectl("delete", "-f", str(file), "--wait", "--timeout=120s", deadline=130)
    assert left() == []
    folder = tmp_path / "kubevirt"
    source = PROJECT_ROOT / "charts" / "kubevirt"
    write_chart(source, folder, registry=registry, tag=tag, version="0.1.0", use_emulation=True)
    try:
        yield folder
    finally:
        if "kubevirt" in helm("list", "--all", "--short").split():
            kubectl("-n", NAMESPACE, "delete", "kv", "--all", "--timeout=120s", deadline=130)
            helm("uninstall", "kubevirt", "--wait")
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s", deadline=130)
        for file in manifests:
            kubectl("apply", "-f", str(file))
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=180)


def test_helm_installs_upgrades_and_uninstalls(chart: Path) -> None:
    helm("install", "kubevirt", chart, "--create-namespace", "--wait")
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)
    assert get("namespace", NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"

    template = chart / "templates" / "operator.yaml"
    template.write_text(template.read_text().replace("    - kvs\n", "    - kvs\n    - kvirts\n"))  # the CRD grows
    with running(manifest("charted")) as [guest], observed(guest) as ticks:
        until(lambda: ticks()[guest.name].count > 0, "the guest to tick", 30)
        helm("upgrade", "kubevirt", chart, "--wait", "--set", f"kubevirt.spec.uninstallStrategy={BLOCK}")
        until(lambda: "kvirts" in short_names(), "the grown definition", 20)
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)
        assert BLOCK in helm("uninstall", "kubevirt", check=False)
        helm("rollback", "kubevirt")  # as helm wants it after an uninstall that was refused
        assert "uninstallStrategy" not in get("-n", NAMESPACE, "kv", "kubevirt")["spec"]
        before = ticks()[guest.name].count
        until(lambda: ticks()[guest.name].count > before, "the guest to tick on", 30)
        assert len(ticks()[guest.name].boots) == 1

    # Without an object of its own the chart removes nothing while there is one.
    helm("upgrade", "kubevirt", chart, "--set", "kubevirt.create=false")
    output = helm("uninstall", "kubevirt", check=False)
    assert "delete the KubeVirt object first" in output
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)

    helm("rollback", "kubevirt")
    helm("uninstall", "kubevirt", "--wait")
    kubectl("delete", "namespace", NAMESPACE, "--timeout=120s", deadline=130)
    assert left() == []

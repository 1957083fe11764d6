"""A KubeVirt object as those have it who installed it years ago: of version v1alpha3, with empty values, and a tag."""

from __future__ import annotations

import pytest

from tests.e2e.builds import TODAY, reached, suite
from tests.e2e.cluster import NAMESPACE, apply, kubectl
from tests.e2e.removal import SUITE

SPEC = {"certificateRotateStrategy": {}, "configuration": {}, "imagePullPolicy": "IfNotPresent"}
SEED = {
    "apiVersion": "kubevirt.io/v1alpha3",
    "kind": "KubeVirt",
    "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
}


@pytest.mark.slow
def test_a_manifest_of_v1alpha3_installs() -> None:
    kubectl("delete", "-f", SUITE, "--wait", "--timeout=120s", deadline=150)
    try:
        apply({**SEED, "spec": {**SPEC, "imageTag": TODAY.tag}})
        print(f"the seed manifest's suite is available after {reached(TODAY, 120):.1f} s")
        assert suite()["spec"]["imageTag"] == TODAY.tag
    finally:
        kubectl("delete", "kv", "kubevirt", "-n", NAMESPACE, "--wait", "--timeout=120s", deadline=150)
        kubectl("apply", "-f", SUITE)
        reached(TODAY, 120)

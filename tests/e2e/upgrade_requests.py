"""What an administrator requests beside another release: a pause, the end of the way back; and what is refused then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.builds import Build, condition, set_image_tag, suite
from tests.e2e.cluster import NAMESPACE, kubectl, until
from tests.e2e.travelling import component_pods

_REFUSED_WITHIN = 120.0  # seconds


@contextmanager
def upgrade_strategy(**fields: Any) -> Iterator[None]:
    """spec.upgradeStrategy, absent afterwards."""
    set_strategy(fields)
    try:
        yield
    finally:
        set_strategy(None)


def set_strategy(fields: dict[str, Any] | None) -> None:
    """Merge the fields into spec.upgradeStrategy; None removes it."""
    patch = json.dumps({"spec": {"upgradeStrategy": fields}})
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)


def finalize() -> None:
    """End the way back of what is installed: of this upgrade, not of an earlier one to the same tag."""
    status = suite()["status"]
    value = f"{status['observedKubeVirtVersion']}@{status['upgrade']['wayBack']['since']}"
    kubectl("-n", NAMESPACE, "annotate", "kv", "kubevirt", "--overwrite", f"kubevirt.io/finalize-upgrade={value}")
    until(lambda: condition("Finalized")["status"] == "True", "the upgrade to be finalized")
    assert "wayBack" not in suite()["status"]["upgrade"]


def refused(build: Build) -> None:
    """`build` is requested and refused for its feature level: nothing begins. Afterwards nothing is requested."""
    before = component_pods()
    set_image_tag(build.tag)
    try:
        until(lambda: condition("Synchronized").get("reason") == "FeatureLevelTooLow", "the refusal", _REFUSED_WITHIN)
        print(condition("Synchronized")["message"])
        assert component_pods() == before
    finally:
        set_image_tag(None)
    until(lambda: condition("Synchronized").get("reason") != "FeatureLevelTooLow", "the end of the refusal")

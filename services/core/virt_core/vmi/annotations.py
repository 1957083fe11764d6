"""Annotations with which KubeVirt changes how a VirtualMachineInstance runs. Pure; called at admission and by the
controller, for objects that were stored while the webhook was down.

KubeVirt ignores annotations that are in neither table.
"""

from __future__ import annotations

from collections.abc import Mapping

from virt_core.validation.refusal import Refusal, Refusals
from virt_core.vmi.launcher_release import launcher_release_refusals

# Source: KubeVirt's api/core/v1/types.go and pkg/hooks, v1.8.
REFUSED: Mapping[str, str] = {
    "hooks.kubevirt.io/hookSidecars": "hook sidecars",
    "kubevirt.io/ignitiondata": "Ignition",
    "kubevirt.io/placePCIDevicesOnRootComplex": "devices on the root complex",
    "kubevirt.io/memfd": "another memory backend",
    "kubevirt.io/free-page-reporting-disabled": "a balloon without free page reporting",
    "kubevirt.io/keep-launcher-alive-after-failure": "a launcher that outlives its guest",
}
"""Annotations that request features which this release does not support, and the feature's description."""

_REFUSED_PREFIX = "kubevirt.io/func-test-"  # faults of KubeVirt's launcher for its own tests

WITHOUT_EFFECT = frozenset({"kubevirt.io/allow-pod-bridge-network-live-migration"})
"""Accepted: they permit operations that this release never performs."""


def annotation_refusals(annotations: Mapping[str, object]) -> Refusals:
    """A refusal for each annotation that requests an unsupported feature, or a launcher that nobody starts."""
    for name in sorted(annotations):
        if name in REFUSED:
            yield _refusal(name, REFUSED[name])
        elif name.startswith(_REFUSED_PREFIX):
            yield _refusal(name, "faults of the launcher")
    yield from launcher_release_refusals(annotations)


def _refusal(name: str, what: str) -> Refusal:
    return Refusal(f"metadata.annotations.{name}", f"is not supported by this release ({what}), remove it")

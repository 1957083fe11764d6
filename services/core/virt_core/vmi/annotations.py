"""Annotations with which KubeVirt changes how a VirtualMachineInstance runs. Pure; called at admission and by the
controller, which refuses the same when the webhook was away.

An annotation that is in neither table means nothing to KubeVirt either.
"""

from __future__ import annotations

from collections.abc import Mapping

from virt_core.validation.refusal import Refusal, Refusals

# Source: KubeVirt's api/core/v1/types.go and pkg/hooks, v1.8.
REFUSED: Mapping[str, str] = {
    "hooks.kubevirt.io/hookSidecars": "hook sidecars",
    "kubevirt.io/ignitiondata": "Ignition",
    "kubevirt.io/placePCIDevicesOnRootComplex": "devices on the root complex",
    "kubevirt.io/memfd": "another memory backend",
    "kubevirt.io/free-page-reporting-disabled": "a balloon without free page reporting",
    "kubevirt.io/keep-launcher-alive-after-failure": "a launcher that outlives its guest",
}
"""What an annotation asks for that this release does not do."""

_REFUSED_PREFIX = "kubevirt.io/func-test-"  # faults of KubeVirt's launcher for its own tests

WITHOUT_EFFECT = frozenset({"kubevirt.io/allow-pod-bridge-network-live-migration"})
"""Accepted: they allow what this release does for no VirtualMachineInstance."""


def annotation_refusals(annotations: Mapping[str, object]) -> Refusals:
    """One refusal for each annotation that asks for what is not supported."""
    for name in sorted(annotations):
        if name in REFUSED:
            yield _refusal(name, REFUSED[name])
        elif name.startswith(_REFUSED_PREFIX):
            yield _refusal(name, "faults of the launcher")


def _refusal(name: str, what: str) -> Refusal:
    return Refusal(f"metadata.annotations.{name}", f"is not supported by this release ({what}), remove it")

"""The launcher pod of any spec that the rules accept."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import Claim
from virt_controller.pod.template import launcher_pod
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

from tests.samples.vmis import Spec

LAUNCHER = LauncherSettings("registry.test/virt-launcher:1", "IfNotPresent")


def pod(spec: Spec, mode: str = "") -> dict[str, Any]:
    """The pod of a spec whose claims are of that mode; empty: one that fits."""
    body = {"metadata": {"name": "g", "namespace": "n", "uid": "6a1f0d52"}, "spec": spec}
    vmi = msgspec.json.decode(json.dumps(body), type=VirtualMachineInstance)
    status = {"capacity": {"storage": "1Gi"}}
    claim = msgspec.convert({"spec": {"volumeMode": mode or fitting_modes(spec)[0]}, "status": status}, Claim)
    made: dict[str, Any] = launcher_pod(
        vmi, accept(vmi.raw_spec, Configuration()), LAUNCHER, Configuration(), {"claim": claim}
    )
    return made


def fitting_modes(spec: Spec) -> tuple[str, ...]:
    """What the spec's claims may be."""
    luns = any("lun" in disk for disk in spec["domain"]["devices"].get("disks", []))
    return ("Block",) if luns else ("Filesystem", "Block")

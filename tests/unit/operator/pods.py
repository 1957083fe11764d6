"""Pods of the suite as the operator reads them."""

from __future__ import annotations

from virt_core.objects.meta import ObjectMeta
from virt_operator.suite.observed import PodObject


def pod(name: str, app: str, phase: str = "Running", address: str = "10.0.0.1") -> PodObject:
    meta = ObjectMeta(name=name, labels={"kubevirt.io": app})
    return PodObject(meta, {"nodeName": "node1"}, {"phase": phase, "podIP": address})

"""What the controller sees of one VirtualMachineInstance, frozen. Built by the reconciler from reflector caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.node.health import Trouble
from virt_controller.pod.observed import Claim, LauncherPod, PodEvent


@dataclass(frozen=True, slots=True)
class PodRefusal:
    """What the API server said when it was asked for the pod last."""

    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan rests on."""

    vmi: VirtualMachineInstance
    pod: LauncherPod | None
    configuration: Configuration
    now: datetime
    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """By name, those that the spec names, None: there is none. Asked for only while there is no pod."""

    trouble: Trouble | None = None
    """What is wrong with the pod's node."""

    pod_events: tuple[PodEvent, ...] = ()
    """Warnings about the pod. Asked for only while it takes long to start its first container, or when it has ended."""

    refusal: PodRefusal | None = None
    """Why there is no pod, if the API server refused it."""

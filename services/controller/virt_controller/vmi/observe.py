"""What the controller sees of one VirtualMachineInstance, frozen. Pure; built by the reconciler from the caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.node.health import Trouble
from virt_controller.pod.limits import NamespaceRules
from virt_controller.pod.observed import Claim, LauncherPod, PodEvent
from virt_controller.pod.template import pod_name


@dataclass(frozen=True, slots=True)
class PodRefusal:
    """Why there is no pod since it was last tried to make one."""

    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan rests on."""

    vmi: VirtualMachineInstance
    pods: tuple[LauncherPod, ...]
    """Those of activePods, and others that belong to the VirtualMachineInstance."""

    configuration: Configuration | None
    """None: unknown, so no pod is made."""

    now: datetime
    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """By name, those that the spec names, None: there is none. Asked for only while there is no pod."""

    trouble: Trouble | None = None
    """What is wrong with the pod's node."""

    pod_events: tuple[PodEvent, ...] = ()
    """Warnings about the pod. Asked for only while it takes long to start its first container, or when it has ended."""

    refusal: PodRefusal | None = None
    """Why there is no pod, if making it failed."""

    removed: tuple[LauncherPod, ...] = ()
    """Pods of activePods that ended and exist no more."""

    rules: NamespaceRules | None = None
    """What the namespace says about its pods' resources. Asked for only once it has refused one."""

    unconfigured: str = ""
    """Why the configuration is unknown."""

    spec: AcceptedSpec | RefusedSpec | None = None
    """None: not looked at, because there is a pod, or the configuration is unknown."""

    @property
    def pod(self) -> LauncherPod | None:
        """The pod that the guest is in, or will be in."""
        return current_pod(self.vmi, self.pods)


def current_pod(vmi: VirtualMachineInstance, pods: Iterable[LauncherPod]) -> LauncherPod | None:
    """The pod of activePods, on the VMI's node if there are several. While activePods is empty, the pod that was made
    for it. A pod of the same name that is not in activePods is somebody else's, whatever its labels are."""
    active = vmi.status.active_pods
    if not active:
        return next((pod for pod in pods if pod.metadata.name == pod_name(vmi)), None)
    known = [pod for pod in pods if pod.metadata.uid in active]
    return min(known, key=lambda pod: (pod.spec.node_name != vmi.status.node_name, pod.metadata.uid), default=None)

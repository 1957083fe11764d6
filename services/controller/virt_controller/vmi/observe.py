"""The frozen observation of a VirtualMachineInstance. Pure; built by the reconciler from the caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from virt_core.objects.event import Event
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.node.health import Trouble
from virt_controller.pod.limits import NamespaceRules
from virt_controller.pod.observed import Claim, LauncherPod
from virt_controller.pod.template import pod_name


@dataclass(frozen=True, slots=True)
class PodRefusal:
    """Why the last attempt to create the pod failed."""

    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """The complete input of a plan."""

    vmi: VirtualMachineInstance
    pods: tuple[LauncherPod, ...]
    """The pods in activePods, and others that belong to the VirtualMachineInstance."""

    configuration: Configuration | None
    """None: unknown, so no pod is created."""

    now: datetime
    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """The claims of the spec by name, None for a missing claim. Read only while there is no pod."""

    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """What is wrong with the pod's node, and with those of both pods of a migration, by node."""

    pod_events: tuple[Event, ...] = ()
    """Warnings about the pod. Read only if its first container starts late, or when the pod has ended."""

    refusal: PodRefusal | None = None
    """Why there is no pod, if its creation failed."""

    removed: tuple[LauncherPod, ...] = ()
    """Pods of activePods that have ended and been removed."""

    rules: NamespaceRules | None = None
    """The namespace's rules for resources of pods. Read only after it has refused a pod."""

    launcher_default: str = ""
    """The launcher's tag that the namespace asks for. Read only while there is no pod."""

    migration_over: float = 0.0
    """Seconds since this process has seen that the last migration is over."""

    ready_for: float = 0.0
    """Seconds since this process has seen the pod ready although the guest does not run yet."""

    unconfigured: str = ""
    """Why the configuration is unknown."""

    vm_goes: bool = False
    """Whether its VirtualMachine is deleted too, so that nobody records its end there."""

    spec: AcceptedSpec | RefusedSpec | None = None
    """None: not checked, because there is a pod, or the configuration is unknown."""

    @property
    def pod(self) -> LauncherPod | None:
        """The pod that the guest is in, or will be in."""
        return current_pod(self.vmi, self.pods)

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with the pod's node."""
        pod = self.pod
        return self.troubles.get(pod.spec.node_name) if pod is not None else None


def current_pod(vmi: VirtualMachineInstance, pods: Iterable[LauncherPod]) -> LauncherPod | None:
    """The pod in activePods; of several that of the last migration in which the guest is, else that on the VMI's node.
    While activePods is empty, the pod that was created for the VMI. Later, a pod that is not in activePods is not the
    guest's, even with the same name and labels."""
    active = vmi.status.active_pods
    if not active:
        return next((pod for pod in pods if pod.metadata.name == pod_name(vmi)), None)
    known = [pod for pod in pods if pod.metadata.uid in active]
    state, node = vmi.status.migration_state, vmi.status.node_name
    with_guest = "" if state is None else state.target_pod_uid if state.succeeded else state.source_pod_uid

    def rank(pod: LauncherPod) -> tuple[bool, bool, str]:
        return pod.metadata.uid != with_guest, pod.spec.node_name != node, pod.metadata.uid

    return min(known, key=rank, default=None)


def active_names(vmi: VirtualMachineInstance) -> tuple[str, ...]:
    """The names of the pods in activePods; without any, the name of the pod that would be created."""
    state, active = vmi.status.migration_state, vmi.status.active_pods
    named = {state.source_pod_uid: state.source_pod, state.target_pod_uid: state.target_pod} if state else {}
    names = {named.get(uid) or pod_name(vmi) for uid in active} or {pod_name(vmi)}
    return tuple(sorted(names))

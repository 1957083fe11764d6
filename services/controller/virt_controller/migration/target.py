"""The target pod of a migration: whether it is created, and what is wrong with it. Pure; called by plan.py."""

from __future__ import annotations

from virt_core.conventions import migration as convention
from virt_core.conventions.launcher_pod import COMPUTE, guest_needs, is_own
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.meta import seconds_since
from virt_core.validation.refusal import Refusal
from virt_core.vmi.accepted import RefusedSpec

from virt_controller.migration.actions import CreateTarget
from virt_controller.migration.observe import Observed
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.launcher import launcher_of
from virt_controller.pod.limits import required_limits
from virt_controller.pod.observed import ContainerStatus, LauncherPod, Running
from virt_controller.pod.problems import UNSCHEDULABLE, rejection, start_problem
from virt_controller.pod.target import NoDigest, target_pod
from virt_controller.pod.template import launcher_pod

_UNSCHEDULABLE_SECONDS, _PENDING_SECONDS = 300.0, 900.0  # KubeVirt's
_LONGEST_SECONDS = 3600.0  # whatever an annotation says: who may request a migration writes it
_UNSCHEDULABLE_ANNOTATION = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds"
_PENDING_ANNOTATION = "kubevirt.io/migrationPendingPodTimeoutSeconds"


def creation(observed: Observed, launcher: LauncherSettings) -> CreateTarget | str:
    """The creation of the target pod, or why there can be none."""
    vmi, source, spec = observed.vmi, observed.source, observed.spec
    assert vmi is not None and source is not None and observed.configuration is not None
    if spec is None or isinstance(spec, RefusedSpec):
        return f"this release does not run the machine's spec: {spec}"
    own_launcher = launcher_of(vmi.metadata, observed.launcher_default, launcher)
    if isinstance(own_launcher, Refusal):
        return f"there is no launcher for the target: {own_launcher}"
    lacking = [name for name, claim in observed.claims.items() if claim is None]
    if lacking:
        return f"PersistentVolumeClaim {lacking[0]} does not exist"
    claims = {name: claim for name, claim in observed.claims.items() if claim is not None}
    limits = required_limits(observed.rules, spec.spec.priority_class_name) if observed.rules is not None else None
    manifest = launcher_pod(vmi, spec, own_launcher, observed.configuration, claims, limits=limits)
    try:
        made = target_pod(manifest, observed.job, vmi.metadata.name, source, same_node=_may_stay(observed))
    except NoDigest as error:
        return str(error)
    return CreateTarget(made)


def _may_stay(observed: Observed) -> bool:
    """Whether the guest may move to another pod of its own node: there is no other one, and it need not leave."""
    return observed.only_node and convention.EVACUATION not in observed.job.metadata.annotations


def may_be_prepared(pod: LauncherPod) -> bool:
    """Whether the guest may be handed off to the pod. Its kubelet has begun to start it, and refuses it no more. The
    handler waits for our containers, but nobody waits for one that a webhook has added: such a pod has to run."""
    reported = bool(pod.spec.node_name) and bool(pod.status.container_statuses)
    if not reported or pod.terminating or start_problem(pod) is not None:
        return False
    return all(is_own(container.name) for container in pod.containers) or is_running(pod)


def is_running(pod: LauncherPod) -> bool:
    """Whether all containers run, but for those that have ended and that the guest does not need. The pod is not ready
    before the guest is there: its readiness gate is false."""
    runs = all(map(_runs, pod.status.container_statuses))
    return bool(pod.spec.node_name) and not pod.terminating and runs and _launcher(pod) is not None


def _runs(container: ContainerStatus) -> bool:
    ended = container.state.terminated is not None and not guest_needs(container.name)
    return container.state.running is not None or ended


def is_running_since(pod: LauncherPod) -> str:
    """When the launcher was started, by its node's clock (empty: unknown), or, as long as the kubelet has not reported
    that, when the pod was created."""
    running = _launcher(pod)
    return pod.metadata.creation_timestamp if running is None else running.started_at or ""


def _launcher(pod: LauncherPod) -> Running | None:
    """The state of the launcher that runs."""
    found = (status.state.running for status in pod.status.container_statuses if status.name == COMPUTE)
    return next(found, None)


def why_down(pod: LauncherPod) -> str:
    """Why the migration fails whose target pod ended, or cannot be started."""
    why = f": {rejection(pod).message}" if pod.rejected else ""
    return f"Migration target pod {pod.metadata.name} is down{why}"


def seconds_to_be_admitted(observed: Observed) -> float:
    """How long the migration may still wait for API server and kubelet to admit its pod: it holds a place of the
    cluster."""
    entered = observed.job.status.entered(MigrationPhase.SCHEDULING)
    return _pending_seconds(observed) - seconds_since(entered, observed.now)


def _pending_seconds(observed: Observed) -> float:
    return _seconds(observed.job.metadata.annotations.get(_PENDING_ANNOTATION), _PENDING_SECONDS)


def why_too_late(observed: Observed, pod: LauncherPod) -> str:
    """Why the migration fails: the pod has not run in time. Empty as long as it may take more time."""
    if seconds_left(observed, pod) > 0:
        return ""
    found = start_problem(pod)
    why = f"{found.reason}: {found.message}" if found is not None else "its containers do not run"
    return f"Migration target pod {pod.metadata.name} has not run in time: {why}"


def seconds_left(observed: Observed, pod: LauncherPod) -> float:
    """How long the pod may still take to run."""
    annotations = observed.job.metadata.annotations
    found = start_problem(pod)
    unschedulable = found is not None and found.reason == UNSCHEDULABLE
    limit = _pending_seconds(observed)
    if unschedulable:
        limit = min(limit, _seconds(annotations.get(_UNSCHEDULABLE_ANNOTATION), _UNSCHEDULABLE_SECONDS))
    return limit - seconds_since(pod.metadata.creation_timestamp, observed.now)


def _seconds(text: str | None, default: float) -> float:
    """A number that somebody wrote into an annotation, within bounds; the default if it is none."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) < 10):
        return default
    return min(float(text), _LONGEST_SECONDS)

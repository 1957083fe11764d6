"""Decides about a VirtualMachineInstance without a launcher pod: create the pod, or report what is missing. Pure.

Called by plan.py, only while activePods is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from virt_core.conventions.conditions import UNSUPPORTED_SPEC
from virt_core.validation.refusal import Refusal
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.annotations import annotation_refusals
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.log_settings import log_refusals
from virt_core.vmi.rules.devices import claim_refusals

from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.failure import remaining
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.launcher import launcher_of
from virt_controller.pod.limits import required_limits
from virt_controller.pod.observed import Claim
from virt_controller.pod.problems import CLAIM_NOT_FOUND, CREATE_REFUSED, NOT_CONFIGURED, Failure
from virt_controller.pod.template import launcher_pod
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, CreatePod
from virt_controller.vmi.observe import Observed, PodRefusal
from virt_controller.vmi.outcome import patch_status, warnings

_LONGEST = 1024  # characters of the API server's message, because webhooks of others may return very long ones


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """Retry delays, in seconds, for objects that are not watched: claims, and quotas, policies and webhooks that make
    the API server refuse a pod. There are many of them, and a VMI rarely waits for them."""

    first: float = 2.0
    last: float = 60.0

    def after(self, waited: float) -> float:
        """The next delay: the time waited so far, within limits."""
        return max(self.first, min(waited, self.last))


def create(observed: Observed, launcher: LauncherSettings, retry: RetryDelays) -> tuple[Action, ...]:
    """Create the pod, or report why there is none."""
    vmi, refusal = observed.vmi, observed.refusal
    if refusal is not None and (wait := _wait_seconds(vmi, refusal, observed.now, retry)) > 0:
        return (*_report_refusal(vmi, refusal, observed.now), LookAgain(wait))
    if observed.configuration is None or observed.spec is None:
        failure = Failure(NOT_CONFIGURED, observed.unconfigured)
        return patch_status(vmi, status.waiting(vmi, failure, observed.now), warnings(failure))
    lacking = next((name for name, claim in observed.claims.items() if not _usable(claim)), None)
    if lacking is not None:
        return _wait_for_claim(vmi, lacking, observed, retry)
    claims = {name: claim for name, claim in observed.claims.items() if claim is not None}
    accepted = _fitting(vmi, observed.spec, claims)
    own_launcher = launcher_of(vmi.metadata, observed.launcher_default, launcher)
    if isinstance(own_launcher, Refusal) and not isinstance(accepted, RefusedSpec):
        accepted = RefusedSpec((own_launcher,))
    if isinstance(accepted, RefusedSpec) or isinstance(own_launcher, Refusal):
        event = RecordEvent(UNSUPPORTED_SPEC, str(accepted), warning=True)
        return patch_status(vmi, status.refused(vmi, str(accepted), observed.now), (event,))
    rules = observed.rules
    limits = required_limits(rules, accepted.spec.priority_class_name) if rules is not None else None
    unbound = [name for name, claim in claims.items() if claim.status.phase == "Pending"]
    waiting = patch_status(vmi, status.waiting_for_binding(vmi, accepted.spec, unbound)) if unbound else ()
    manifest = launcher_pod(vmi, accepted, own_launcher, observed.configuration, claims, limits=limits)
    created = RecordEvent("SuccessfulCreate", f"Created virtual machine pod {manifest['metadata']['name']}")
    return *waiting, CreatePod(manifest), created


def _fitting(
    vmi: VirtualMachineInstance, accepted: AcceptedSpec | RefusedSpec, claims: Mapping[str, Claim]
) -> AcceptedSpec | RefusedSpec:
    """The accepted spec. Also checks rules on metadata and claims, which admission cannot check."""
    if isinstance(accepted, RefusedSpec):
        return accepted
    modes = {name: claim.spec.volume_mode for name, claim in claims.items()}
    meta = vmi.metadata
    unmet = (*annotation_refusals(meta.annotations), *log_refusals(meta.labels, meta.annotations))
    unfit = (*unmet, *claim_refusals(accepted.spec, modes))
    return RefusedSpec(unfit) if unfit else accepted


def _usable(claim: Claim | None) -> bool:
    """Whether a pod may use the claim. An unbound claim is bound for its first pod, or the pod waits."""
    return claim is not None and claim.status.phase != "Lost"


def _wait_for_claim(
    vmi: VirtualMachineInstance, name: str, observed: Observed, retry: RetryDelays
) -> tuple[Action, ...]:
    lost = observed.claims[name] is not None
    why = "has lost its volume" if lost else "does not exist"
    failure = Failure(CLAIM_NOT_FOUND, f"PersistentVolumeClaim {name} {why}")
    again = LookAgain(retry.after(status.unsynchronized_seconds(vmi, failure, observed.now)))
    return (*patch_status(vmi, status.waiting(vmi, failure, observed.now), warnings(failure)), again)


def _report_refusal(vmi: VirtualMachineInstance, refusal: PodRefusal, now: datetime) -> tuple[Action, ...]:
    """Record a single event for all attempts; the condition has the newest message."""
    failure = _refused(refusal)
    events = () if status.tells(vmi, failure) else warnings(failure)
    return patch_status(vmi, status.waiting(vmi, failure, now), events)


def _wait_seconds(vmi: VirtualMachineInstance, refusal: PodRefusal, now: datetime, retry: RetryDelays) -> float:
    """Seconds until the next attempt to create the pod, even if the VMI is reconciled earlier."""
    waited = status.unsynchronized_seconds(vmi, _refused(refusal), refusal.at)
    return remaining(retry.after(waited), refusal.at, now)


def _refused(refusal: PodRefusal) -> Failure:
    return Failure(CREATE_REFUSED, refusal.message[:_LONGEST])

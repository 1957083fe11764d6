"""What to do about a VirtualMachineInstance that has no launcher pod yet: make it, or say what it waits for. Pure.

Called by plan.py, legal only while activePods is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.annotations import annotation_refusals
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.rules.devices import claim_refusals

from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.limits import required_limits
from virt_controller.pod.observed import Claim
from virt_controller.pod.problems import CLAIM_NOT_FOUND, CREATE_REFUSED, NOT_CONFIGURED, Failure
from virt_controller.pod.template import launcher_pod
from virt_controller.vmi import status
from virt_controller.vmi.actions import Action, CreatePod, LookAgain, RecordEvent
from virt_controller.vmi.observe import Observed, PodRefusal
from virt_controller.vmi.outcome import patch_status, warnings

_LONGEST = 1024  # characters of the API server's words; others' webhooks may say more than a condition should hold


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """Seconds until something is tried again that is not watched. Neither claims nor what makes an API server refuse a
    pod (quotas, policies, others' webhooks) are watched: they are many, and waiting for them is rare."""

    first: float = 2.0
    last: float = 60.0

    def after(self, waited: float) -> float:
        """As long as it has been waited for, within limits."""
        return max(self.first, min(waited, self.last))


def create(observed: Observed, launcher: LauncherSettings, retry: RetryDelays) -> tuple[Action, ...]:
    """The pod, or why there is none."""
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
    if isinstance(accepted, RefusedSpec):
        event = RecordEvent("UnsupportedSpec", str(accepted), warning=True)
        return patch_status(vmi, status.refused(vmi, str(accepted), observed.now), (event,))
    rules = observed.rules
    limits = required_limits(rules, accepted.spec.priority_class_name) if rules is not None else None
    manifest = launcher_pod(vmi, accepted, launcher, observed.configuration, claims, limits=limits)
    created = RecordEvent("SuccessfulCreate", f"Created virtual machine pod {manifest['metadata']['name']}")
    return CreatePod(manifest), created


def _fitting(
    vmi: VirtualMachineInstance, accepted: AcceptedSpec | RefusedSpec, claims: Mapping[str, Claim]
) -> AcceptedSpec | RefusedSpec:
    """The spec; what only the object's metadata and the claims show is refused here, after admission."""
    if isinstance(accepted, RefusedSpec):
        return accepted
    modes = {name: claim.spec.volume_mode for name, claim in claims.items()}
    unfit = (*annotation_refusals(vmi.metadata.annotations), *claim_refusals(accepted.spec, modes))
    return RefusedSpec(unfit) if unfit else accepted


def _usable(claim: Claim | None) -> bool:
    """A claim that is not bound yet is bound for its first pod, or the pod waits."""
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
    """One event, however often it is tried; the condition holds the newest words."""
    failure = _refused(refusal)
    events = () if status.tells(vmi, failure) else warnings(failure)
    return patch_status(vmi, status.waiting(vmi, failure, now), events)


def _wait_seconds(vmi: VirtualMachineInstance, refusal: PodRefusal, now: datetime, retry: RetryDelays) -> float:
    """Until the pod is asked for again, whatever else makes this VMI be looked at meanwhile."""
    waited = status.unsynchronized_seconds(vmi, _refused(refusal), refusal.at)
    return retry.after(waited) - (now - refusal.at).total_seconds()


def _refused(refusal: PodRefusal) -> Failure:
    return Failure(CREATE_REFUSED, refusal.message[:_LONGEST])

"""What happens to the suite as a whole, whether it may begin, and the target's images. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from virt_core.conventions import components
from virt_core.conventions.suite_status import CHANGES, INSTALL, LEVEL_TOO_LOW, ROLLBACK, STOPPED, UPDATE
from virt_core.objects.meta import condition_of
from virt_core.objects.upgrade_steps import INSTALL_STRATEGY, OPERATOR

from virt_operator.change.steps import BACKWARD, FORWARD
from virt_operator.change.versions import is_older
from virt_operator.preflight import estimates
from virt_operator.preflight.finding import Finding, Step, Subject, blocking, info, warning
from virt_operator.preflight.observed import Cluster, Question, Target

NONE, UNKNOWN = "None", "Unknown"
"""What a plan says instead of an operation."""

_NEWEST = (
    "a VM that starts with the target's launcher by an alias such as q35 may have a machine type that an older QEMU "
    "does not know: after a way back it has to be restarted"
)
_SECONDS = {
    INSTALL_STRATEGY: estimates.PRINT_STRATEGY,
    OPERATOR: estimates.OPERATOR,
    components.CONTROLLER: estimates.COMPONENT,
    components.API: estimates.COMPONENT,
}


def operation(cluster: Cluster, question: Question, target: Target) -> str:
    """What the change is."""
    if cluster.suite is None or question.settings is None:
        return UNKNOWN
    status = cluster.suite.status
    if not status.observed_deployment_id:
        return INSTALL
    if status.observed_deployment_id == question.settings.deployment_id:
        return NONE
    if target.strategy is None:
        return UNKNOWN
    return ROLLBACK if is_older(target.strategy.release, status.observed_release) else UPDATE


def judge_suite(cluster: Cluster, question: Question, what: str, nodes: int) -> Iterator[Finding]:
    """Whether the change may begin, and its steps. `nodes` have a virt-handler to replace."""
    if cluster.suite is None:
        subject = Subject("KubeVirt", cluster.operator.namespace, "kubevirt")
        yield blocking(subject, "NotInstalled", "no KubeVirt object exists: nothing is installed")
        return
    subject = Subject("KubeVirt", cluster.suite.metadata.namespace, cluster.suite.metadata.name)
    if question.refusal:
        yield blocking(subject, "SpecRefused", f"the target cannot be requested: {question.refusal}")
    upgrade = cluster.suite.status.change
    if cluster.suite.metadata.deletion_timestamp is not None:
        yield blocking(subject, "BeingRemoved", "is being deleted")
    elif upgrade is not None and upgrade.operation == STOPPED and upgrade.stopped is not None:
        stopped = upgrade.stopped
        message = f"the change to {stopped.version} has stopped: {stopped.object} failed the probe {stopped.probe}"
        yield warning(subject, "HasStopped", f"{message}: {stopped.message}")
    elif upgrade is not None and upgrade.operation:
        message = f"{upgrade.operation} is in progress, step {upgrade.step}: wait until it is complete"
        yield blocking(subject, "ChangeInProgress", message)
    available = condition_of(cluster.suite.status.conditions, "Available")
    if available is None or available.status != "True":
        reason = f"{available.reason}: {available.message}" if available is not None else "it does not say so"
        yield blocking(subject, "NotAvailable", f"the suite is not available: {reason}; see `virtadm doctor`")
    if what == NONE:
        yield info(subject, "NothingToDo", "the target is installed")
    elif what != UNKNOWN:
        message = f"{what} to images {question.tag} of {question.registry or 'the default registry'}"
        stays = _NEWEST if what == UPDATE else ""
        yield info(subject, f"Will{what}", message, *_steps(what, nodes), irreversible=stays)
    for kind, names in cluster.undecodable.items():
        for name in names:
            namespace, _, own = name.rpartition("/")
            yield warning(Subject(kind, namespace, own), "NotExamined", "cannot be read by this release")


def judge_level(cluster: Cluster, target: Target, what: str) -> Iterator[Finding]:
    """Whether the target has the feature level at which the cluster is final."""
    if target.strategy is None or cluster.suite is None or what not in CHANGES:
        return
    meta, status = cluster.suite.metadata, cluster.suite.status
    lowest = status.way_back.level if status.way_back is not None else status.level
    if target.strategy.feature_level < lowest:
        message = (
            f"the target has feature level {target.strategy.feature_level}, and the cluster has been finalized at "
            f"level {lowest}: virt-operator will refuse it, because objects and guests may depend on that level"
        )
        yield blocking(Subject("KubeVirt", meta.namespace, meta.name), LEVEL_TOO_LOW, message)


def judge_images(target: Target) -> Iterator[Finding]:
    """A finding for each image of the target that does not run."""
    for trouble in target.troubles:
        yield blocking(Subject("Image", "", trouble.image), trouble.reason, trouble.message)


def _steps(what: str, nodes: int) -> Sequence[Step]:
    """The steps of the change. What each object and each node takes is in their findings."""
    steps = [step.name for step in (FORWARD if what == UPDATE else BACKWARD)]
    # The operator has a step at both ends; the direction decides which of them acts.
    acting = steps if what == UPDATE else steps[::-1]
    names = list(dict.fromkeys(acting))
    names = names if what == UPDATE else names[::-1]
    seconds = {**_SECONDS, components.HANDLER: estimates.HANDLER * nodes}
    return [Step(name, seconds.get(name, 0.0)) for name in names]

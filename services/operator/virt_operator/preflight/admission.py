"""Whether admission of others lets the change through: each write of it against each webhook and policy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from virt_core.conventions import components, labels
from virt_core.kube.resource import PODS

from virt_operator.preflight.finding import Finding, Subject, blocking, info, warning
from virt_operator.preflight.observed import Cluster, Target
from virt_operator.preflight.webhooks import FAIL, MatchResources, Policy, Webhook, Webhooks, covers
from virt_operator.strategy.ref import MANAGED_BY_OPERATOR, WORKLOADS, Body, ref_of

_CREATE, _WRITE = frozenset({"CREATE"}), frozenset({"CREATE", "UPDATE"})
_DENY = "Deny"
_NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Write:
    """A request of the change."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    operations: frozenset[str]
    labels: Mapping[str, str]

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.plural} {where}".rstrip("/ ")


def judge_admission(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """A finding for each webhook or policy of others that stands in the way or might."""
    writes = list(_writes(cluster, target))
    for configuration in cluster.webhooks:
        if configuration.metadata.labels.get(labels.MANAGED_BY) == MANAGED_BY_OPERATOR:
            continue
        for webhook in configuration.webhooks:
            found = _webhook(configuration, webhook, writes, cluster)
            if found is not None:
                yield found
    denying: dict[str, list[MatchResources]] = {}
    for binding in cluster.bindings:
        if _DENY in binding.spec.validation_actions:
            denying.setdefault(binding.spec.policy_name, []).append(binding.spec.match_resources)
    for policy in cluster.policies:
        if policy.metadata.labels.get(labels.MANAGED_BY) != MANAGED_BY_OPERATOR:
            yield from _policy(policy, denying.get(policy.metadata.name, ()), writes, cluster)


def _webhook(configuration: Webhooks, webhook: Webhook, writes: Iterable[Write], cluster: Cluster) -> Finding | None:
    service = webhook.client_config.service
    if service is None or (service.namespace, service.name) in cluster.backends:
        return None  # behind a URL, which only the API server can try, or it answers
    if service.namespace == cluster.operator.namespace and service.name == components.OPERATOR:
        return None
    place = MatchResources(webhook.namespace_selector, webhook.object_selector, webhook.rules)
    stopped = next((write for write in writes if _applies(place, write, cluster)), None)
    if stopped is None:
        return None
    subject = Subject(configuration.kind, "", configuration.metadata.name)
    silent = f"webhook {webhook.name} reviews {stopped}, and its Service {service.namespace}/{service.name} has no "
    silent += "endpoint that is ready"
    if webhook.failure_policy != FAIL:
        return warning(subject, "WebhookSilent", f"{silent}: each such request waits until it times out")
    if webhook.match_conditions:
        return warning(subject, "WebhookMayRefuse", f"{silent}: refused where its matchConditions are met")
    return blocking(subject, "WebhookInTheWay", f"{silent}, so that the API server refuses it: mend or remove it")


def _policy(
    policy: Policy, places: Iterable[MatchResources], writes: Iterable[Write], cluster: Cluster
) -> Iterator[Finding]:
    bound = list(places)
    for write in writes:
        if not _applies(policy.spec.match_constraints, write, cluster):
            continue
        if not any(_applies(place, write, cluster, bound=True) for place in bound):
            continue
        subject = Subject("ValidatingAdmissionPolicy", "", policy.metadata.name)
        kind = (policy.spec.param_kind or {}).get("kind")
        if kind and policy.spec.failure_policy == FAIL and not policy.spec.match_conditions:
            message = f"reviews {write} by parameters of kind {kind}, and denies it where they are missing"
            yield warning(subject, "PolicyMayDeny", message)
        else:
            yield info(subject, "PolicyReviews", f"reviews {write} and may deny it: its expressions are not evaluated")
        return


def _applies(place: MatchResources, write: Write, cluster: Cluster, *, bound: bool = False) -> bool:
    """Whether a write is reviewed. A binding without rules adds none."""
    rules = place.resource_rules
    if (rules or not bound) and not covers(rules, write):
        return False
    if covers(place.exclude_resource_rules, write) or not place.object_selector.selects(write.labels):
        return False
    if not write.namespace:
        return True
    known = cluster.namespaces.get(write.namespace) or {_NAMESPACE: write.namespace}
    return place.namespace_selector.selects(known)


def _writes(cluster: Cluster, target: Target) -> Iterator[Write]:
    """The objects of the target, or without it of what is installed; their pods; the launcher pods of guests."""
    strategy = target.strategy or cluster.installed
    for body in strategy.objects if strategy is not None else ():
        ref = ref_of(body)
        resource = ref.resource
        marks = body["metadata"].get("labels", {})
        yield Write(resource.group, resource.version, resource.plural, ref.namespace, ref.name, _WRITE, marks)
        if ref.kind in WORKLOADS:
            yield _pod(ref.namespace, body)
    launcher = {labels.APP: components.LAUNCHER}
    for namespace in sorted({guest.metadata.namespace for guest in cluster.guests}):
        yield Write(PODS.group, PODS.version, PODS.plural, namespace, "", _CREATE, launcher)


def _pod(namespace: str, workload: Body) -> Write:
    marks = workload["spec"]["template"]["metadata"].get("labels", {})
    return Write(PODS.group, PODS.version, PODS.plural, namespace, "", _CREATE, marks)

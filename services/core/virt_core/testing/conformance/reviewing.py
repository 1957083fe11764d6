"""Reviews of access, which are answered and not stored."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.resource import SUBJECT_ACCESS_REVIEWS, Resource
from virt_core.testing.conformance.calls import Check, Object

_RULES = Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False)


async def a_review_says_whether_a_user_may(client: KubeClient, namespace: str) -> None:
    """A member of system:masters may; a user whom nobody bound to a role may not."""
    attributes = {"namespace": namespace, "verb": "get", "resource": "pods", "name": "a"}
    for groups, allowed in (["system:masters"], True), (["nobody"], False):
        spec: Object = {"user": "conformance", "groups": groups, "resourceAttributes": attributes}
        answer = await client.create(SUBJECT_ACCESS_REVIEWS, None, {"spec": spec})
        assert answer["status"]["allowed"] is allowed
        assert answer["spec"]["user"] == "conformance"


async def a_review_lists_the_rules_of_the_caller(client: KubeClient, namespace: str) -> None:
    """Here of somebody who may do everything."""
    status = (await client.create(_RULES, None, {"spec": {"namespace": namespace}}))["status"]
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert everything in status["resourceRules"] and not status["incomplete"]


CHECKS: tuple[Check, ...] = (a_review_says_whether_a_user_may, a_review_lists_the_rules_of_the_caller)

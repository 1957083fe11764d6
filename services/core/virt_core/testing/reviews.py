"""Reviews of access: questions that are answered and not stored. Used by api_server.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
_MASTERS = "system:masters"  # the group whose members Kubernetes asks nothing


class Reviews:
    """Answers as a test wants it. By default members of system:masters may do everything, all others nothing."""

    def __init__(self) -> None:
        self.allows: Callable[[Object], bool] = lambda spec: _MASTERS in spec.get("groups", ())
        """Called with the spec of a SubjectAccessReview."""
        self.seen: list[Object] = []
        """The specs of all SubjectAccessReviews, in order."""
        self.rules: list[Object] = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        """What a SelfSubjectRulesReview answers, in every namespace."""

    def answer(self, plural: str, body: Object) -> Object | None:
        """The review with its status, None if `plural` is no kind of review."""
        if plural == "subjectaccessreviews":
            self.seen.append(body["spec"])
            return {"metadata": {}, **body, "status": {"allowed": self.allows(body["spec"])}}
        if plural == "selfsubjectrulesreviews":
            status = {"resourceRules": self.rules, "nonResourceRules": [], "incomplete": False}
            return {"metadata": {}, **body, "status": status}
        return None

"""Label and field selectors of lists and watches. Pure; used by api_server.py."""

from __future__ import annotations

from typing import Any

from virt_core.testing.history import Matches, Object
from virt_core.testing.refused import Refused

_SELECTABLE = {"metadata.name", "metadata.namespace", "spec.nodeName", "spec.signerName"}
_SELECTABLE |= {"regarding.kind", "regarding.uid", "type"}  # of events


def selection(labels: str, fields: str) -> Matches:
    """Whether an object matches both. Labels by equality, presence, absence; the real server also refuses most fields.

    Raises:
        Refused: a field that is not selectable.
    """
    terms = [term.split("=", 1) for term in labels.split(",") if term]
    wanted_labels = {term[0]: term[1] for term in terms if len(term) > 1}
    present = {term[0] for term in terms if len(term) == 1 and not term[0].startswith("!")}
    absent = {term[0].removeprefix("!") for term in terms if term[0].startswith("!")}
    wanted_fields = dict(term.split("=", 1) for term in fields.split(",") if term)
    if wanted_fields.keys() - _SELECTABLE:
        raise Refused(400, "BadRequest", f"field label not supported: {fields}")

    def matches(body: Object) -> bool:
        if any(_field(body, path) != value for path, value in wanted_fields.items()):
            return False
        labels: dict[str, str] = body["metadata"].get("labels") or {}
        return wanted_labels.items() <= labels.items() and present <= labels.keys() and not absent & labels.keys()

    return matches


def _field(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body.get(part, {})
    return body

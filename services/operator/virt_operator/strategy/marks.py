"""Labels and annotations that customization adds, and their removal. Pure; called by customization/customize.py and
suite/drift.py.

Labels and annotations of others stay on the suite's objects. So an object lists those that patches added, and they are
removed when no patch adds them any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

IDENTIFIER = "kubevirt.io/customizer-identifier"
"""Annotation: a digest of the patches of this object, as in KubeVirt."""

ADDED = "kubevirt.io/customizer-metadata"
"""Annotation: the labels and annotations that the patches added, for example "annotations:example.com/a labels:b"."""

_PARTS = ("labels", "annotations")


def added(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The value of ADDED for two states of an object's metadata; "" if nothing was added."""
    new = (f"{part}:{key}" for part in _PARTS for key in after.get(part) or {} if key not in (before.get(part) or {}))
    return " ".join(sorted(new))


def left_over(desired: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and annotations, as part and key, that an earlier customization added and `desired` does not have."""
    annotations = live.get("annotations") or {}
    listed = [entry.partition(":")[::2] for entry in annotations.get(ADDED, "").split()]
    for part, key in (*listed, ("annotations", IDENTIFIER), ("annotations", ADDED)):
        if part in _PARTS and key in (live.get(part) or {}) and key not in (desired.get(part) or {}):
            yield part, key

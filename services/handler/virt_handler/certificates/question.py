"""What renewal.py asks request.py, and the answer: values that pass between two processes (apart.py). Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Wanted(msgspec.Struct, frozen=True):
    """What is asked of the process: a new key for `names`, or if there are none, when the leaf is due."""

    names: tuple[str, ...] = ()
    leaf: bytes = b""
    key: bytes = b""
    bundle: bytes = b""
    issuing: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """Key and request, or the moment of the renewal; None if that is now."""

    key: bytes = b""
    request: bytes = b""
    due: datetime | None = None

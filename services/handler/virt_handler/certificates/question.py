"""Input and output of request.py, exchanged between two processes (apart.py). Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Wanted(msgspec.Struct, frozen=True):
    """The task: a new key for `names`, or, without names, the time at which the leaf must be renewed."""

    names: tuple[str, ...] = ()
    leaf: bytes = b""
    key: bytes = b""
    bundle: bytes = b""
    issuing: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """Key and request, or the time of the renewal; None means now."""

    key: bytes = b""
    request: bytes = b""
    due: datetime | None = None

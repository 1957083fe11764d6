"""protobuf without the messages that are written in Python, which upb, its C implementation, replaces.

protobuf imports them all the same: 14 modules, a MiB of each process. Called by the launcher, of which a node has many,
before anything imports a message. The version is locked, and a unit test sees that nobody needs them.
"""

from __future__ import annotations

import sys
from types import ModuleType

_UNUSED = "google.protobuf.internal.python_message"


def load() -> None:
    """Leave them out, unless messages are made by them."""
    from google.protobuf.internal import api_implementation

    if api_implementation.Type() == "upb":
        sys.modules.setdefault(_UNUSED, ModuleType(_UNUSED))

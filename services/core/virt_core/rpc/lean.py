"""gRPC and protobuf without modules that they import and that nobody uses.

protobuf imports its messages in Python also where upb, its C implementation, replaces them: 14 modules, a MiB of each
process. gRPC imports typing_extensions for two names of annotations: 0.7 MiB and 15 ms of each start. Called by the
launcher, of which a node has many, before anything imports a message. The versions are locked, and a unit test sees
that nobody needs more.
"""

from __future__ import annotations

import sys
import typing
from types import ModuleType

_MESSAGES_IN_PYTHON = "google.protobuf.internal.python_message"
_EXTENSIONS = "typing_extensions"


def load() -> None:
    """Leave them out; the messages only if upb makes them."""
    from google.protobuf.internal import api_implementation

    if api_implementation.Type() == "upb":
        sys.modules.setdefault(_MESSAGES_IN_PYTHON, ModuleType(_MESSAGES_IN_PYTHON))
    extensions = ModuleType(_EXTENSIONS)
    vars(extensions).update(Self=typing.Self, override=lambda method: method)
    sys.modules.setdefault(_EXTENSIONS, extensions)

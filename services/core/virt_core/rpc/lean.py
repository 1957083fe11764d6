"""gRPC and protobuf without modules that they import but do not need.

protobuf imports its pure Python messages even if upb, its C implementation, replaces them: 14 modules, 1 MiB per
process. gRPC imports typing_extensions for two names in annotations: 0.7 MiB and 15 ms per start. Called by the
launcher, which runs once per VM, before anything imports a message. The versions are locked, and a unit test checks
that nothing else is needed.
"""

from __future__ import annotations

import sys
import typing
from types import ModuleType

_MESSAGES_IN_PYTHON = "google.protobuf.internal.python_message"
_EXTENSIONS = "typing_extensions"


def load() -> None:
    """Replace these modules by stubs; the messages only if protobuf uses upb."""
    from google.protobuf.internal import api_implementation

    if api_implementation.Type() == "upb":
        sys.modules.setdefault(_MESSAGES_IN_PYTHON, ModuleType(_MESSAGES_IN_PYTHON))
    extensions = ModuleType(_EXTENSIONS)
    vars(extensions).update(Self=typing.Self, override=lambda method: method)
    sys.modules.setdefault(_EXTENSIONS, extensions)

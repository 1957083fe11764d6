"""pyroute2 without two thirds of its modules, which save 5 MB and 60 ms, and imported at its first use.

The only module that imports pyroute2; execute.py calls `load`, and app.py when the handler is ready. The package's
``__init__`` would import every module, so the package is registered as an empty module first. The version is pinned in
pyproject.toml, and a unit test fails if another module of pyroute2 is loaded.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any, NamedTuple

_PACKAGE = "pyroute2"
_importing = threading.Lock()


class Netlink(NamedTuple):
    """The parts in use."""

    route: Any
    """The class IPRoute."""

    error: type[Exception]
    """NetlinkError."""


@functools.cache
def load() -> Netlink:
    """Import pyroute2; further calls return at once. May be called in any thread."""
    with _importing:
        if _PACKAGE not in sys.modules:  # a bare package has no spec to be found again
            spec = importlib.util.find_spec(_PACKAGE)
            if spec is None or not spec.submodule_search_locations:
                raise ImportError("pyroute2 is not installed")
            bare = sys.modules[_PACKAGE] = ModuleType(_PACKAGE)
            bare.__path__ = list(spec.submodule_search_locations)
        from pyroute2.iproute import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

    return Netlink(IPRoute, NetlinkError)

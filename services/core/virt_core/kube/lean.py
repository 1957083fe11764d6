"""kubernetes_asyncio without its 844 generated modules, at half the memory.

The only module that imports kubernetes_asyncio; client.py uses the result of `load`: configuration, credentials and the
REST transport. Packages whose ``__init__`` would import every generated class are registered as empty modules first, so
this must run before anything else imports kubernetes_asyncio. The version is pinned in pyproject.toml, and a unit test
fails if a generated module is loaded.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, NamedTuple


class Lean(NamedTuple):
    """The parts in use."""

    configuration: Any
    api_client: Any
    config: Any


def load() -> Lean:
    """What makes a configuration, the ApiClient class and the config module of kubernetes_asyncio."""
    if "kubernetes_asyncio" not in sys.modules:  # a bare package has no spec to be found again
        spec = importlib.util.find_spec("kubernetes_asyncio")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("kubernetes_asyncio is not installed")
        root = spec.submodule_search_locations[0]
        package = _bare("kubernetes_asyncio", root)
        client = _bare("kubernetes_asyncio.client", f"{root}/client")
        models = _bare("kubernetes_asyncio.client.models", f"{root}/client/models")
        package.client, client.models = client, models  # type: ignore[attr-defined]
        from kubernetes_asyncio.client.configuration import Configuration
        from kubernetes_asyncio.client.exceptions import ApiException

        client.Configuration, client.ApiException = Configuration, ApiException  # type: ignore[attr-defined]
        from kubernetes_asyncio.client.api_client import ApiClient

        client.ApiClient = ApiClient  # type: ignore[attr-defined]
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client.api_client import ApiClient

    return Lean(_configuration, ApiClient, config)


def _configuration() -> Any:
    """Of the library, that trusts certificates as kubectl and other programs in Go do.

    Python refuses from 3.13 on what violates RFC 5280, an authority without a key identifier for example, and clusters
    have such certificates.
    """
    from kubernetes_asyncio.client.configuration import Configuration

    made = Configuration()
    made.disable_strict_ssl_verification = True
    return made


def _bare(name: str, path: str) -> ModuleType:
    module = sys.modules[name] = ModuleType(name)
    module.__path__ = [path]
    return module

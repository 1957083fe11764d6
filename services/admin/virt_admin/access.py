"""The connection to the API server, from a kubeconfig as kubectl reads it. Called by flags.py.

kubernetes_asyncio reads and merges the files, runs exec plugins and refreshes tokens. Here is what differs from
kubectl: which file's current-context counts, and where a kubeconfig is looked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from virt_core.kube import lean
from virt_core.kube.client import KubeClient

from virt_admin.outcome import CannotTell

_USER_AGENT = "virtadm"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REFRESH = 60.0  # seconds between looks at the expiry of an exec plugin's token


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate with its key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Access:
    """A client, and what else the kubeconfig says."""

    client: KubeClient
    namespace: str
    """Where objects without a namespace are looked for."""

    certificate: Certificate | None
    """By which the user is known; None: by a token or in another way."""


@asynccontextmanager
async def connected(kubeconfig: str | None, context: str | None, namespace: str | None) -> AsyncIterator[Access]:
    """Connect as kubectl with these flags would; each may be None.

    Raises:
        CannotTell: there is no usable kubeconfig and no service account of a pod.
    """
    parts = lean.load()
    configuration = parts.configuration()
    files = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    refreshing: asyncio.Task[None] | None = None
    if _any_exists(files):
        own, loader = await _from_files(parts, configuration, files, context)
        if loader is not None:
            task = parts.config.kube_config.refresh_token(loader, configuration, _REFRESH)
            refreshing = asyncio.create_task(task, name="refresh of the token")
    elif _ACCOUNT.exists() and kubeconfig is None and context is None:
        parts.config.load_incluster_config(client_configuration=configuration)
        own = (_ACCOUNT / "namespace").read_text().strip()
    else:
        raise CannotTell(f"no kubeconfig: {files} does not exist; set KUBECONFIG or use --kubeconfig")
    try:
        async with parts.api_client(configuration) as api:
            client = KubeClient(api, _USER_AGENT)
            yield Access(client, namespace or own or "default", _certificate(configuration))
    finally:
        if refreshing is not None:
            refreshing.cancel()


def _any_exists(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)


async def _from_files(parts: lean.Lean, configuration: Any, files: str, context: str | None) -> tuple[str, Any]:
    """Fill `configuration`; returns the context's namespace, and the loader if its token has to be refreshed."""
    module = parts.config.kube_config
    try:
        merged = module.KubeConfigMerger(files)
        # kubectl: the first file that sets a value wins. The library's merger takes the last one's current-context.
        current = (content.get("current-context") for content in merged.config_files.values())
        chosen = context or next(filter(None, current), None)
        if chosen is None:
            raise CannotTell(f"{files} has no current-context, use --context")
        loader = module.KubeConfigLoader(
            merged.config, active_context=chosen, config_base_path=None, config_persister=merged.save_changes
        )
        user = loader._user.value if loader._user is not None else {}
        if any(user.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra")):
            raise CannotTell(f"context {chosen} impersonates another user, which virtadm does not support")
        await loader.load_and_set(configuration)
        namespace = loader.current_context["context"].get("namespace") or ""
    except (parts.config.ConfigException, yaml.YAMLError, OSError, TypeError, AttributeError, ValueError) as error:
        raise CannotTell(f"{files} cannot be used: {error}") from error
    return namespace, loader if "exec" in user and "BearerToken" in configuration.api_key else None


def _certificate(configuration: Any) -> Certificate | None:
    if not (configuration.cert_file and configuration.key_file):
        return None
    return Certificate(Path(configuration.cert_file).read_bytes(), Path(configuration.key_file).read_bytes())

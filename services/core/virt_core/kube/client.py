"""Requests to the API server, as JSON and plain dicts, each with a deadline. Used by every service but the launcher.

kubernetes_asyncio carries configuration, credentials and the transport (lean.py); everything above is ours: its models
cost milliseconds and 50 kB an object, and its watch can hang without an error. Writes are server-side apply, JSON or
merge patches, creates and deletes; there is no update of a whole object.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from virt_core import logs
from virt_core.kube import lean
from virt_core.kube.errors import KubeError, Unavailable, from_status
from virt_core.kube.resource import Resource

Object = dict[str, Any]
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_DEADLINE = 15.0  # seconds for one request; the API server's own limit is 60
# An API server stores objects nested up to 10000 deep. What is not meant to be is refused by admission; what is there
# all the same must not end every process that watches.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 12_000))

# What uvloop says when a new socket gets the number of a descriptor that it still takes for a connection's: somebody
# closed it below that connection. uvloop did so itself when connecting was cancelled (its issues 645 and 738, mended in
# 0.23), and with that, too, it was seen once, after an API server's death.
_STALE_DESCRIPTOR = "is used by transport"

_log = logs.bound("virt_core.kube.client")
_encode = msgspec.json.encode
_decode = msgspec.json.decode


class KubeClient:
    """One connection pool to one API server. Make it with `connect`."""

    def __init__(self, api: Any, user_agent: str) -> None:
        self._api = api
        self._host: str = api.configuration.host
        self._user_agent = user_agent
        self._streams: set[aiohttp.ClientResponse] = set()

    @classmethod
    @asynccontextmanager
    async def connect(cls, user_agent: str) -> AsyncIterator[KubeClient]:
        """A client from the pod's service account, or outside of a pod from KUBECONFIG.

        `user_agent` is the component's name: the API server's audit log counts requests by it.
        """
        parts = lean.load()
        configuration = parts.configuration()
        if "KUBERNETES_SERVICE_HOST" in os.environ and _TOKEN.exists():
            parts.config.load_incluster_config(client_configuration=configuration)
        else:
            # Named here, because the library's own default is the value of KUBECONFIG when it was first imported.
            file = os.environ.get("KUBECONFIG") or None
            await parts.config.load_kube_config(config_file=file, client_configuration=configuration)
        async with parts.api_client(configuration) as api:
            yield cls(api, user_agent)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """The object, or NotFound."""
        return await self._request("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 0
    ) -> list[Object]:
        """All objects that match, from the API server's cache (resourceVersion 0); with `limit` the first few, as they
        are at this moment."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        query |= {"limit": str(limit)} if limit else {"resourceVersion": "0"}
        answer = await self._request("GET", resource.path(namespace), query={k: v for k, v in query.items() if v})
        items: list[Object] = answer["items"]
        return items

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Object,
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Create; AlreadyExists if the name is taken. A dry run goes through admission and ends there."""
        name = body["metadata"]["name"] if subresource else None
        path, query = resource.path(namespace, name, subresource), {"dryRun": "All"} if dry_run else None
        return await self._request("POST", path, query=query, body=body)

    async def apply(
        self, resource: Resource, namespace: str | None, body: Object, *, manager: str, force: bool = True
    ) -> Object:
        """Server-side apply as field manager `manager`. Takes over fields that others own; without `force` they are a
        Conflict."""
        name: str = body["metadata"]["name"]
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        kind = "application/apply-patch+yaml"
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._request("PATCH", resource.path(namespace, name), query=query, body=full, content_type=kind)

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """JSON patch; Conflict if one of its tests fails. A dry run goes through admission and stores nothing."""
        path, query = resource.path(namespace, name, subresource), {"dryRun": "All"} if dry_run else None
        kind = "application/json-patch+json"
        return await self._request("PATCH", path, query=query, body=list(operations), content_type=kind)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Object,
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """JSON merge patch: lists are replaced whole, null removes. A dry run goes through admission and ends there."""
        path, query = resource.path(namespace, name, subresource), {"dryRun": "All"} if dry_run else None
        return await self._request("PATCH", path, query=query, body=body, content_type="application/merge-patch+json")

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        grace: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete; with `uid` only that very object (Conflict otherwise). `grace` in seconds."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._request("DELETE", resource.path(namespace, name), body=body)

    async def raw(self, path: str) -> Object:
        """GET of any path that answers JSON."""
        return await self._request("GET", path)

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], deadline: float) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a watch, open for `deadline` seconds at most."""
        timeout = aiohttp.ClientTimeout(total=deadline, connect=_DEADLINE)
        with self._connected(f"watching {path}"):
            async with self._session.get(
                self._url(path), params=dict(query), headers=await self._headers(), timeout=timeout
            ) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                self._streams.add(response)
                try:
                    yield response.content
                finally:
                    self._streams.discard(response)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        headers = await self._headers()
        data = None
        if body is not None:
            data = _encode(body)
            headers["Content-Type"] = content_type
        _log.debug("asking the API server", method=method, path=path)
        with self._connected(f"{method} {path}"):
            async with asyncio.timeout(_DEADLINE):
                async with self._session.request(
                    method, self._url(path), params=query, data=data, headers=headers
                ) as response:
                    payload = await response.read()
        if response.status >= 300:
            raise _error(response.status, payload)
        decoded: Object = _decode(payload)
        return decoded

    @contextmanager
    def _connected(self, doing: str) -> Iterator[None]:
        """Whatever happens to a connection inside is Unavailable."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, f"{doing}: {error or type(error).__name__}") from error
        except RuntimeError as error:
            if _STALE_DESCRIPTOR not in str(error):
                raise
            # One of the watches is dead and does not know it; until it is closed nobody can connect by that number.
            for response in self._streams:
                response.close()
            raise Unavailable(0, f"{doing}: {error}") from error

    @property
    def _session(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = self._api.rest_client.pool_manager
        return session

    def _url(self, path: str) -> str:
        return self._host + path

    async def _headers(self) -> dict[str, str]:
        # The token of a pod is replaced by the kubelet about every hour; auth_settings reads the new one in time.
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        return headers


def _error(status: int, payload: bytes) -> KubeError:
    try:
        answer = _decode(payload)
        return from_status(status, str(answer.get("message", "")), str(answer.get("reason", "")))
    except (msgspec.DecodeError, AttributeError):
        return from_status(status, payload[:200].decode(errors="replace"), "")

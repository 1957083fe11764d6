"""Requests to the API server, as JSON and plain dicts, each with a deadline. Used by every service but the launcher.

kubernetes_asyncio provides configuration, credentials and the transport (lean.py). Its models and its watch are not
used: a model costs milliseconds and 50 kB per object, and the watch can hang without an error. Writes are server-side
apply, JSON or merge patches, creates and deletes; nothing updates a whole object.
"""

from __future__ import annotations

import asyncio
import copy
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from virt_core import logs
from virt_core.kube import lean
from virt_core.kube.errors import KubeError, Unavailable, from_status
from virt_core.kube.resource import Resource
from virt_core.metrics.requests import FAILED, Requests

Object = dict[str, Any]
WebSocket: TypeAlias = "aiohttp.ClientWebSocketResponse"
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_DEADLINE = 15.0  # seconds for one request; the API server's own limit is 60
_READ_AHEAD = 2**21  # bytes of a response that are read before they are asked for; of a list, what the library reads
# An API server stores objects nested up to 10000 levels. Admission refuses such VMIs; one that is stored nevertheless
# must not end every process that watches.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 12_000))

# uvloop's error when a new socket gets the number of a descriptor that uvloop still assigns to another connection,
# because the descriptor was closed below that connection. uvloop caused it when a connect was cancelled (its issues 645
# and 738, fixed in 0.23); with 0.23 it was seen once, after an API server died.
_STALE_DESCRIPTOR = "is used by transport"

_log = logs.bound("virt_core.kube.client")
_encode = msgspec.json.encode
_decode = msgspec.json.decode


class KubeClient:
    """One connection pool to one API server. Make it with `connect`."""

    def __init__(self, api: Any, user_agent: str) -> None:
        self._api = api
        self._may_write: Callable[[], bool] = lambda: True
        self._host: str = api.configuration.host
        self.requests = Requests(self._host)
        """How many there were, for Prometheus."""

        self._user_agent = user_agent
        rest = api.rest_client
        # What a kubeconfig says of the way to the API server: proxy-url and tls-server-name.
        way = {"proxy": rest.proxy or _environments_proxy(self._host), "server_hostname": rest.server_hostname}
        self._way: dict[str, Any] = {key: value for key, value in way.items() if value}
        self._streams: set[aiohttp.ClientResponse] = set()
        # The library's session reads ~/.netrc before each request, in a thread: a sixth of a request's time. This one
        # shares its connections, and is closed with them.
        self._session = aiohttp.ClientSession(
            connector=rest.pool_manager.connector, connector_owner=False, read_bufsize=_READ_AHEAD
        )

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
            # Explicit, because the library's default is the value of KUBECONFIG at its first import.
            file = os.environ.get("KUBECONFIG") or None
            await parts.config.load_kube_config(config_file=file, client_configuration=configuration)
        async with parts.api_client(configuration) as api:
            yield cls(api, user_agent)

    def only_while(self, may_write: Callable[[], bool]) -> KubeClient:
        """The same connections for somebody who may write only while `may_write()` is true, a leader for example. It is
        called at the last moment before each request, since the process may have been frozen after any other."""
        limited = copy.copy(self)
        limited._may_write = may_write
        return limited

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """The object. Raises NotFound if it does not exist."""
        return await self._request("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 0
    ) -> list[Object]:
        """All objects that match, from the API server's cache (resourceVersion 0); with `limit` at most that many, read
        from etcd."""
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
        """Create the object. Raises AlreadyExists. A dry run passes admission and stores nothing."""
        name = body["metadata"]["name"] if subresource else None
        path, query = resource.path(namespace, name, subresource), {"dryRun": "All"} if dry_run else None
        return await self._request("POST", path, query=query, body=body)

    async def apply(
        self, resource: Resource, namespace: str | None, body: Object, *, manager: str, force: bool = True
    ) -> Object:
        """Server-side apply as field manager `manager`. Takes over fields of other managers; without `force` raises
        Conflict for them."""
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
        """JSON patch. Raises Conflict if one of its tests fails. A dry run passes admission and stores nothing."""
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
        """JSON merge patch: replaces whole lists, null removes. A dry run passes admission and stores nothing."""
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
    ) -> Object:
        """Delete the object. With `uid`, raises Conflict if the object has another UID. `grace` in seconds.

        Returns the object if finalizers or its grace period keep it for now, else a Status.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        return await self._request("DELETE", resource.path(namespace, name), body=body)

    async def raw(self, path: str) -> Object:
        """GET of any path whose response is JSON."""
        return await self._request("GET", path)

    async def put(self, path: str, body: Object) -> Object:
        """PUT of any path, for example a subresource that is a command; {} if the response is empty."""
        return await self._request("PUT", path, body=body)

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], deadline: float) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a watch, of a big list or of a log, open for `deadline` seconds at most. Not compressed, as
        between Kubernetes' components: that takes longer than to send it."""
        timeout = aiohttp.ClientTimeout(total=deadline, connect=_DEADLINE)
        with self._connected(f"watching {path}"):
            async with self._opened(path, query, timeout) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                self._streams.add(response)
                try:
                    yield response.content
                finally:
                    self._streams.discard(response)

    @asynccontextmanager
    async def _opened(
        self, path: str, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A stream's response, counted when it begins: it may last for minutes."""
        headers = {**await self._headers(), "Accept-Encoding": "identity"}
        code: int | str = FAILED
        counted = partial(self.requests.count, "GET", path, verb="watch" if "watch" in query else "")
        try:
            async with self._session.get(
                self._url(path), params=dict(query), headers=headers, timeout=timeout, **self._way
            ) as response:
                code = response.status
                counted(code)
                yield response
        finally:
            if code == FAILED:
                counted(code)

    @asynccontextmanager
    async def websocket(self, path: str, query: Mapping[str, str], protocol: str) -> AsyncIterator[WebSocket]:
        """A WebSocket of a subresource that is a stream, for example "portforward" of a pod.

        Raises:
            KubeError: the API server, or the kubelet behind it, refuses the stream.
        """
        headers = await self._headers()
        del headers["Accept"]  # with it the API server answers 406
        with self._connected(f"GET {path}"):
            async with asyncio.timeout(_DEADLINE):
                try:
                    socket = await self._session.ws_connect(
                        self._url(path), params=dict(query), headers=headers, protocols=(protocol,), **self._way
                    )
                except aiohttp.WSServerHandshakeError as error:
                    raise from_status(error.status, f"GET {path}: {error.message}", "") from error
        async with socket:
            yield socket

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
        if method != "GET" and not self._may_write():
            raise Unavailable(0, f"{method} {path} is not sent: another replica may lead")
        _log.debug("calling the API server", method=method, path=path)
        with self._connected(f"{method} {path}"), self._counted(method, path) as answered:
            async with asyncio.timeout(_DEADLINE):
                async with self._session.request(
                    method, self._url(path), params=query, data=data, headers=headers, **self._way
                ) as response:
                    payload = await response.read()
                    answered["code"] = response.status
        if response.status >= 300:
            raise _error(response.status, payload)
        decoded: Object = _decode(payload) if payload else {}
        return decoded

    @contextmanager
    def _counted(self, method: str, path: str) -> Iterator[dict[str, int]]:
        """Count a request, whose answer's code is put into the result."""
        loop, answered = asyncio.get_running_loop(), dict[str, int]()
        began = loop.time()
        try:
            yield answered
        finally:
            self.requests.count(method, path, answered.get("code", FAILED), loop.time() - began)

    @contextmanager
    def _connected(self, doing: str) -> Iterator[None]:
        """Raise errors of the connection as Unavailable."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, f"{doing}: {error or type(error).__name__}") from error
        except RuntimeError as error:
            if _STALE_DESCRIPTOR not in str(error):
                raise
            # One of the watches is dead without an error; its descriptor's number is unusable until it is closed.
            for response in self._streams:
                response.close()
            raise Unavailable(0, f"{doing}: {error}") from error

    def _url(self, path: str) -> str:
        return self._host + path

    async def _headers(self) -> dict[str, str]:
        # The token of a pod is replaced by the kubelet about every hour; auth_settings reads the new one in time.
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        return headers


def _environments_proxy(host: str) -> str | None:
    """The proxy that the environment names for the API server: HTTPS_PROXY and NO_PROXY."""
    url = urlsplit(host)
    # With its port, and alone: an IPv6 address has brackets in a URL, and none in NO_PROXY.
    excluded = proxy_bypass(url.netloc) or proxy_bypass(url.hostname or "")
    return None if excluded else getproxies().get(url.scheme)


def _error(status: int, payload: bytes) -> KubeError:
    try:
        answer = _decode(payload)
        return from_status(status, str(answer.get("message", "")), str(answer.get("reason", "")))
    except (msgspec.DecodeError, AttributeError):
        return from_status(status, payload[:200].decode(errors="replace"), "")

"""The few answers that virt-api needs of kube-apiserver, over HTTP: lists, endless watches, one object, reviews."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Object = dict[str, Any]
VMI_PATH = "/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}"


class KubeApi:
    """Its state is public: a test writes objects and reads the reviews that were asked."""

    def __init__(self) -> None:
        self.config_maps: list[Object] = []
        self.pods: list[Object] = []
        self.kubevirts: list[Object] = [_kubevirt()]
        self.guests: dict[str, Object] = {}
        self.allowed_users = {"bob"}
        self.reviews: list[Object] = []
        self._watches: dict[str, asyncio.Queue[Object]] = {}  # by plural; one watcher each
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        application = web.Application()
        add = application.router.add_get
        add("/api/v1/namespaces/kube-system/configmaps", self._collection(self.config_maps))
        add("/api/v1/namespaces/kubevirt/pods", self._collection(self.pods))
        add("/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts", self._collection(self.kubevirts))
        add("/version", self._version)
        add(VMI_PATH, self._guest)
        application.router.add_post("/apis/authorization.k8s.io/v1/subjectaccessreviews", self._review)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def change(self, plural: str, body: Object, kind: str = "MODIFIED") -> None:
        """Send an event to whoever watches, once somebody does."""
        queue = self._watches.setdefault(plural, asyncio.Queue())
        await queue.put({"type": kind, "object": body})

    def _collection(self, items: list[Object]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            if "watch" not in request.query:
                return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
            response = web.StreamResponse()
            await response.prepare(request)
            queue = self._watches.setdefault(request.path.rpartition("/")[2], asyncio.Queue())
            while True:
                await response.write(json.dumps(await queue.get()).encode() + b"\n")

        return answer

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"gitVersion": "v1.34.4"})

    async def _guest(self, request: web.Request) -> web.StreamResponse:
        guest = self.guests.get(request.match_info["name"])
        if guest is None:
            return web.json_response({"kind": "Status", "code": 404, "message": "not found"}, status=404)
        return web.json_response(guest)

    async def _review(self, request: web.Request) -> web.StreamResponse:
        review = await request.json()
        self.reviews.append(review["spec"])
        return web.json_response({**review, "status": {"allowed": review["spec"]["user"] in self.allowed_users}})


def guest(name: str, *conditions: str, phase: str = "Running", node: str = "node1") -> Object:
    """A VirtualMachineInstance."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "5"}
    status = {
        "phase": phase,
        "nodeName": node,
        "conditions": [{"type": kind, "status": "True"} for kind in conditions],
        "interfaces": [{"name": "default", "ipAddress": "127.0.0.1"}],
    }
    return {"metadata": metadata, "spec": {"domain": {}}, "status": status}


def handler_pod(name: str, node: str) -> Object:
    """A pod of virt-handler on this machine."""
    return {
        "metadata": {"name": name, "namespace": "kubevirt", "resourceVersion": "1"},
        "spec": {"nodeName": node},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def front_proxy_rules(authorities: str, *, names: str = '["front-proxy-client"]') -> Object:
    """The ConfigMap."""
    return {
        "metadata": {
            "name": "extension-apiserver-authentication",
            "namespace": "kube-system",
            "resourceVersion": "1",
        },
        "data": {
            "requestheader-client-ca-file": authorities,
            "requestheader-allowed-names": names,
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        },
    }


def _kubevirt() -> Object:
    return {"metadata": {"name": "kubevirt", "namespace": "kubevirt", "resourceVersion": "42"}}

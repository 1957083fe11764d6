"""expand-spec and expand-vm-spec: a VirtualMachine with its instance type and preference in the template. Called by
served.py.

Neither writes anything. The first reads the stored VirtualMachine, the second gets a manifest in the request's body.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from virt_core.kube.client import KubeClient, Object

from virt_api.errors import BadRequest, NotSupported
from virt_api.subresources.call import Call
from virt_api.subresources.request_body import document_of, options_in
from virt_api.subresources.virtual_machine import read_object

_MATCHERS = ("instancetype", "preference")


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _Template(msgspec.Struct, frozen=True):
    spec: dict[str, Any]


class _Spec(msgspec.Struct, frozen=True):
    template: _Template


class _Manifest(msgspec.Struct, frozen=True):
    """What a manifest must have to be expanded."""

    spec: _Spec
    metadata: _Metadata = _Metadata()


class Expansion:
    """Answers with expanded VirtualMachines."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def expand(self, call: Call) -> web.Response:
        """The stored VirtualMachine that `call` names, expanded. Raises ApiError."""
        return self._answer(await read_object(self._client, call), call)

    async def expand_manifest(self, request: web.Request, call: Call) -> web.Response:
        """The VirtualMachine in the request's body, expanded.

        Raises:
            BadRequest: there is none in it, or it is of another namespace.
        """
        vm = document_of(call.path, await request.read())
        if not vm:
            raise BadRequest(f"the body of {call.path} is missing, send a VirtualMachine in it")
        namespace = options_in(call.path, vm, _Manifest).metadata.namespace
        if namespace not in ("", call.namespace):
            raise BadRequest(
                f"metadata.namespace: VM namespace must be empty or {call.namespace}, not {namespace[:80]!r}"
            )
        return self._answer(vm, call)

    def _answer(self, vm: Object, call: Call) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._expanded(vm, call)), content_type="application/json")

    def _expanded(self, vm: Object, call: Call) -> Object:
        for field in _MATCHERS:
            if (vm.get("spec") or {}).get(field):
                raise NotSupported(f"spec.{field}: is not supported by this release", call.details)
        return vm

"""expand-spec and expand-vm-spec: a VirtualMachine with its instance type and preference in the template. Called by
served.py.

Neither writes anything. The first reads the stored VirtualMachine, the second gets a manifest in the request's body.
virt_core/instancetype/expand.py expands; here the objects that the VirtualMachine names are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from virt_core.instancetype.expand import expanded, names_any
from virt_core.instancetype.matcher import Role, matcher_refusals
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.errors import KubeError
from virt_core.kube.errors import NotFound as ObjectNotFound
from virt_core.validation.refusal import Refusal

from virt_api.admission.stored import Needed, Reference, chosen_of, reference_of
from virt_api.errors import ApiError, BadRequest, Conflict, NotFound, ServiceUnavailable
from virt_api.subresources.call import Call
from virt_api.subresources.request_body import document_of, options_in
from virt_api.subresources.virtual_machine import failed, read_object


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


@dataclass(frozen=True, slots=True)
class _Errors:
    """How a VirtualMachine that cannot be expanded is refused."""

    missing: type[ApiError]
    """What it names does not exist."""

    wrong: type[ApiError]
    """It conflicts with its instance type, or names nothing that could exist."""


_OF_STORED = _Errors(missing=NotFound, wrong=Conflict)
_OF_MANIFEST = _Errors(missing=BadRequest, wrong=BadRequest)


class Expansion:
    """Answers with expanded VirtualMachines."""

    def __init__(self, client: KubeClient, configuration: ConfigurationCache) -> None:
        self._client = client
        self._configuration = configuration

    async def expand(self, call: Call) -> web.Response:
        """The stored VirtualMachine that `call` names, expanded. Raises ApiError."""
        return await self._answer(await read_object(self._client, call), call, _OF_STORED)

    async def expand_manifest(self, request: web.Request, call: Call) -> web.Response:
        """The VirtualMachine in the request's body, expanded.

        Raises:
            BadRequest: there is none in it, it is of another namespace, or it cannot be expanded.
        """
        vm = document_of(call.path, await request.read())
        if not vm:
            raise BadRequest(f"the body of {call.path} is missing, send a VirtualMachine in it")
        namespace = options_in(call.path, vm, _Manifest).metadata.namespace
        if namespace not in ("", call.namespace):
            raise BadRequest(
                f"metadata.namespace: VM namespace must be empty or {call.namespace}, not {namespace[:80]!r}"
            )
        return await self._answer(vm, call, _OF_MANIFEST)

    async def _answer(self, vm: Object, call: Call, errors: _Errors) -> web.Response:
        body = msgspec.json.encode(await self._expanded(vm, call, errors))
        return web.Response(body=body, content_type="application/json")

    async def _expanded(self, vm: Object, call: Call, errors: _Errors) -> Mapping[str, Any]:
        if not names_any(vm):
            return vm
        wrong = [refusal for role in Role for refusal in matcher_refusals(role, vm, None)]
        if not wrong:
            found: dict[Needed, Object] = {
                reference: await self._read(reference, call, errors) for reference in _references(vm, call, errors)
            }
            configuration = self._configuration.current
            if configuration is None:
                raise ServiceUnavailable(f"nothing is expanded without it: {self._configuration.unknown}", call.details)
            # Beside the loop: a manifest of 6 MiB takes more than a second.
            result = await asyncio.to_thread(expanded, vm, chosen_of(vm, call.namespace, found), configuration)
            if not result.refusals:
                return result.vm
            wrong = list(result.refusals)
        raise errors.wrong("; ".join(map(str, wrong)), call.details)

    async def _read(self, reference: Reference, call: Call, errors: _Errors) -> Object:
        try:
            return await self._client.get(reference.resource, reference.namespace, reference.name)
        except ObjectNotFound as error:
            raise errors.missing(f"{reference} not found", call.details) from error
        except KubeError as error:
            raise failed(call, error) from error


def _references(vm: Object, call: Call, errors: _Errors) -> list[Reference]:
    """What the VirtualMachine names. Raises ApiError if a matcher names nothing."""
    references = []
    for role in Role:
        if not vm["spec"].get(role.value):
            continue
        reference = reference_of(vm, role, call.namespace)
        if reference is None:
            allowed = "it is resolved when a VirtualMachine is stored"
            raise errors.wrong(
                str(Refusal(f"spec.{role.value}.inferFromVolume", f"cannot be expanded, use name: {allowed}")),
                call.details,
            )
        references.append(reference)
    return references

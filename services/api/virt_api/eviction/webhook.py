"""Webhook for evictions of launcher pods: reads the pod and its VirtualMachineInstance, decides, marks. Created by
app.py; routes.py adds it to the HTTPS server.

kube-apiserver calls it only for pods whose name is a launcher's (the operator's strategy/webhooks.py). Nothing is
cached: an eviction is rare, and a cache that is behind would let a guest die. As long as something cannot be read or
written, the answer is 429, which `kubectl drain` and the descheduler repeat, never an eviction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.conventions import labels
from virt_core.conventions.migration import VMI_NAME
from virt_core.conventions.webhooks import EVICTION
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, KubeError, NotFound
from virt_core.kube.resource import (
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    Resource,
)
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.admission_review import AdmissionRequest, AdmissionReview, BadReview, Denial, answer, read_review
from virt_core.vmi.instance import VirtualMachineInstance

from virt_api.admission.webhooks import Handler
from virt_api.errors import BadRequest
from virt_api.eviction.decide import Allow, Decision, EvictedPod, Eviction, Mark, Refuse, decide, why_it_waits

_ARRIVAL = 4.0  # seconds in which the review arrives
_DEADLINE = 5.0  # seconds for everything else; kube-apiserver waits 10 for the answer
_ATTEMPTS = 3  # handler and controller write the VirtualMachineInstance at the same time
_PARALLEL = 16  # evictions in progress; further ones wait for their turn, or until their deadline
_ALLOWED = Allow("no launcher pod with a guest")
_decoder = msgspec.json.Decoder(AdmissionReview[Eviction])
_log = logs.bound("virt_api.eviction.webhook")


class Evictions:
    """Answers reviews of evictions."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(_PARALLEL)

    @property
    def webhooks(self) -> Mapping[str, Handler]:
        """The handler by its path."""
        return {EVICTION: self.review}

    async def review(self, http: web.Request) -> web.StreamResponse:
        """The answer to an AdmissionReview. It closes the connection, as those of admission/webhooks.py do."""
        try:
            async with asyncio.timeout(_ARRIVAL):
                request = read_review(await http.read(), _decoder)
        except TimeoutError as error:
            raise BadRequest(f"the review did not arrive within {_ARRIVAL:.0f} s") from error
        except BadReview as error:
            raise BadRequest(str(error)) from error
        refusal = await self._refusal(request)
        denial = Denial("TooManyRequests", 429, refusal) if refusal else None
        response = web.Response(body=msgspec.json.encode(answer(request.uid, denial)), content_type="application/json")
        response.force_close()
        return response

    async def _refusal(self, request: AdmissionRequest[Eviction]) -> str:
        """Why the pod is not evicted now; "": it may be."""
        eviction = request.object or Eviction()
        name = request.name or (eviction.metadata.name if eviction.metadata is not None else "")
        log = _log.bind(namespace=request.namespace, pod=name, user=request.user_info.username)
        decided = ""
        try:
            async with asyncio.timeout(_DEADLINE), self._turns:
                for _ in range(_ATTEMPTS):
                    decision = await self._decision(eviction, request.namespace, name)
                    if isinstance(decision, Allow):
                        log.info("allowing an eviction", reason=decision.why)
                        return ""
                    log.info("refusing an eviction", reason=decision.message, dry_run=_is_dry(request, eviction))
                    if isinstance(decision, Refuse):
                        decided = decision.message
                        return decided + await self._why_it_waits(request.namespace, decision.evacuated)
                    if await self._marked(request, eviction, decision):
                        return decision.message
            return "others write the VirtualMachineInstance at the same time, try again"
        except TimeoutError:
            return decided or f"kubevirt did not read pod and vmi within {_DEADLINE:.0f} s, try again"
        except KubeError as error:
            log.warning("refusing an eviction that cannot be decided", reason=str(error))
            return str(error)

    async def _decision(self, eviction: Eviction, namespace: str, name: str) -> Decision:
        found = await self._read(PODS, namespace, name, "kubevirt failed getting the pod")
        if found is None:
            return _ALLOWED
        pod = msgspec.convert(found, EvictedPod)
        if not pod.vmi_name:
            return _ALLOWED
        vmi = await self._read(VIRTUAL_MACHINE_INSTANCES, namespace, pod.vmi_name, "kubevirt failed getting the vmi")
        return decide(eviction, pod, VirtualMachineInstance.of(vmi) if vmi is not None else None)

    async def _why_it_waits(self, namespace: str, vmi_name: str) -> str:
        """For the end of the message. Without it the answer is right all the same."""
        if not vmi_name:
            return ""
        selector = f"{VMI_NAME}={labels.vmi_id(vmi_name)}"
        try:
            found = await self._client.list(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace, labels=selector)
        except KubeError as error:
            _log.info("not knowing what an evacuation waits for", namespace=namespace, reason=str(error))
            return ""
        why = why_it_waits(vmi_name, map(VirtualMachineInstanceMigration.of, found))
        return f": {why}" if why else ""

    async def _read(self, resource: Resource, namespace: str, name: str, failing: str) -> Object | None:
        try:
            return await self._client.get(resource, namespace, name)
        except NotFound:
            return None
        except KubeError as error:
            raise KubeError(error.status, f"{failing}: {error.message}") from error

    async def _marked(self, request: AdmissionRequest[Eviction], eviction: Eviction, mark: Mark) -> bool:
        """Mark it. False: the object is no longer as it was read."""
        dry_run: bool = _is_dry(request, eviction)
        try:
            await self._client.json_patch(
                VIRTUAL_MACHINE_INSTANCES, request.namespace, mark.vmi_name, mark.operations, dry_run=dry_run
            )
        except (Conflict, NotFound):
            return False
        except KubeError as error:
            raise KubeError(error.status, f"kubevirt failed marking the vmi for eviction: {error.message}") from error
        return True


def _is_dry(request: AdmissionRequest[Any], eviction: Eviction) -> bool:
    return bool(request.dry_run) or eviction.dry_run

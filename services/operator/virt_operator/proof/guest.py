"""A guest of the suite's own, with which a new pod is proven. Called by work.py.

It is a VirtualMachineInstance in the suite's namespace, labelled and owned by the KubeVirt object. It is deleted as
soon as it has shown what it is for; what could not be deleted then is deleted at the end of the change, or by the next
leader.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from virt_core.conventions.labels import CREATED_BY, UPGRADE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, KubeError, NotFound, Unavailable
from virt_core.kube.reflector import HasMetadata, Reflector
from virt_core.kube.resource import KUBEVIRTS, PODS, VIRTUAL_MACHINE_INSTANCES, Resource
from virt_core.objects.meta import Condition, ObjectMeta, ObjectReference, PartialObject

from virt_operator.strategy.ref import Body

T = TypeVar("T", bound=HasMetadata)
_SYNCED_WITHIN = 10.0  # seconds
_PREFIX = "kubevirt-upgrade-probe-"
_ATTEMPTS, _AGAIN = 3, 0.5  # to create the guest, and seconds between them


class Refused(Exception):
    """The API server does not create the guest. The message is its own."""


class GuestStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the components have written."""

    phase: str = ""
    node_name: str = ""
    conditions: list[Condition] = []


class Guest(msgspec.Struct, frozen=True, rename="camel"):
    """The VirtualMachineInstance."""

    metadata: ObjectMeta
    status: GuestStatus = GuestStatus()


class Life:
    """The guest and its launcher pod as the API server shows them."""

    def __init__(self, guests: Reflector[Guest], pods: Reflector[PartialObject], changed: asyncio.Event) -> None:
        self._guests = guests
        self._pods = pods
        self._changed = changed

    @property
    def guest(self) -> Guest | None:
        """The guest now; None when it is gone."""
        return next(iter(self._guests), None)

    @property
    def has_pod(self) -> bool:
        """Whether virt-controller has made its pod."""
        return any(True for _ in self._pods)

    async def reaches(self, state: Callable[[Life], bool], seconds: float) -> bool:
        """Whether it reaches that state in time."""
        try:
            async with asyncio.timeout(seconds):
                while not state(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


def body_of(owner: ObjectReference, spec: Mapping[str, Any]) -> Body:
    """A guest of 64 MiB on the pod network, without disks and display."""
    none = ("autoattachGraphicsDevice", "autoattachMemBalloon", "autoattachSerialConsole")
    domain = {"devices": dict.fromkeys(none, False), "resources": {"requests": {"memory": "64Mi"}}}
    owned = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
    meta = {"name": f"{_PREFIX}{uuid.uuid4().hex[:8]}", "labels": {UPGRADE_PROBE: ""}}
    return {
        "apiVersion": VIRTUAL_MACHINE_INSTANCES.api_version,
        "kind": VIRTUAL_MACHINE_INSTANCES.kind,
        "metadata": {**meta, "namespace": owner.namespace, "ownerReferences": [owned]},
        "spec": {"terminationGracePeriodSeconds": 0, "domain": domain, **spec},
    }


def is_own(guest: Body, namespace: str) -> bool:
    """Whether the operator of the suite in `namespace` has made this VirtualMachineInstance. The label alone does not
    say so: users may set it."""
    meta = guest["metadata"]
    if UPGRADE_PROBE not in meta.get("labels", {}) or meta.get("namespace") != namespace:
        return False
    owned = any(
        (owner.get("apiVersion"), owner.get("kind")) == (KUBEVIRTS.api_version, KUBEVIRTS.kind)
        for owner in meta.get("ownerReferences", ())
    )
    return owned and bool(meta["name"].startswith(_PREFIX))


@asynccontextmanager
async def created(client: KubeClient, body: Body) -> AsyncIterator[Life]:
    """A guest that is deleted when the context ends.

    Raises:
        Refused: there is no guest.
        KubeError: the API server does not answer, or the guest's deletion has failed.
    """
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    changed = asyncio.Event()

    def followed(resource: Resource, kind: type[T], labels: str = "", fields: str = "") -> Reflector[T]:
        reflector = Reflector(
            client, resource, kind, lambda _: changed.set(), namespace=namespace, labels=labels, fields=fields
        )
        watches.append(asyncio.create_task(reflector.run(), name=f"watch of {resource.plural} of {name}"))
        return reflector

    watches: list[asyncio.Task[None]] = []
    try:
        guests = followed(VIRTUAL_MACHINE_INSTANCES, Guest, fields=f"metadata.name={name}")
        await _synced(guests)
        answer = await _create(client, namespace, body)
        guests.wrote(answer)
        try:
            selected = f"{CREATED_BY}={answer['metadata']['uid']}"
            yield Life(guests, followed(PODS, PartialObject, labels=selected), changed)
        finally:
            await delete(client, namespace, name)
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


async def _synced(guests: Reflector[Guest]) -> None:
    try:
        async with asyncio.timeout(_SYNCED_WITHIN):
            await guests.synced.wait()
    except TimeoutError as error:
        raise Unavailable(0, f"the API server has not listed VirtualMachineInstances: {guests.trouble}") from error


async def _create(client: KubeClient, namespace: str, body: Body) -> Body:
    """The guest. A failure that passes is no refusal, and may have made it."""
    name, failure = body["metadata"]["name"], ""
    for attempt in range(_ATTEMPTS):
        await asyncio.sleep(_AGAIN if attempt else 0.0)
        try:
            return await client.create(VIRTUAL_MACHINE_INSTANCES, namespace, body)
        except AlreadyExists:
            return await client.get(VIRTUAL_MACHINE_INSTANCES, namespace, name)
        except Unavailable as error:
            failure = error.message
        except KubeError as error:
            raise Refused(error.message) from error
    await delete(client, namespace, name)  # fails if the API server is away
    raise Refused(failure)


async def delete(client: KubeClient, namespace: str, name: str) -> None:
    """Delete the guest, if it is there."""
    try:
        await client.delete(VIRTUAL_MACHINE_INSTANCES, namespace, name)
    except NotFound:
        pass


async def delete_left(client: KubeClient, namespace: str) -> None:
    """Delete the guests that are left, while none is used. What fails is left for the next leader."""
    try:
        for body in await client.list(VIRTUAL_MACHINE_INSTANCES, namespace, labels=UPGRADE_PROBE):
            if is_own(body, namespace):
                await delete(client, namespace, body["metadata"]["name"])
    except KubeError:
        return  # without a definition there are none

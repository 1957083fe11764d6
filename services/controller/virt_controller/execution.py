"""Executes plans: what the executors of all kinds share. Called by execute.py of each kind; knows no kind.

A cache may be behind. A write of the cached object needs no check, since its patch tests what was seen. Before a write
that has no such precondition the API server itself is read: `require`, `live`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import msgspec
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import Resource
from virt_core.objects.meta import ObjectMeta, ObjectReference, PartialObject
from virt_core.objects.patch import Operation

from virt_controller.actions import LookAgain, RecordEvent

W = TypeVar("W")
_INTERNAL = 500  # the API server's status when an admission webhook of a third party fails


class Refused(Exception):
    """The API server refuses to create an object; the message says why. A retry does not help until somebody changes
    something. `by_rules`: RBAC, admission or validation refuses, not a webhook that fails."""

    def __init__(self, message: str, *, by_rules: bool = False) -> None:
        super().__init__(message)
        self.by_rules = by_rules


class Execution(Generic[W]):
    """Executes the actions of plans, and the requests that they consist of. `W` are the kind's own actions."""

    def __init__(self, client: KubeClient, events: EventRecorder) -> None:
        self._client = client
        self._events = events

    async def run(
        self,
        about: ObjectReference,
        actions: Iterable[W | RecordEvent | LookAgain],
        write: Callable[[W], Awaitable[bool]],
    ) -> float | None:
        """Execute a plan for the object `about`, in order. Returns the seconds after which to plan again, or None.

        `write` executes the kind's own actions. It returns False if the rest of the plan is void; any exception also
        ends the plan.
        """
        again: float | None = None
        for action in actions:
            if isinstance(action, RecordEvent):
                await self.record(about, action)
            elif isinstance(action, LookAgain):
                again = action.seconds
            elif not await write(action):
                break
        return again

    async def record(self, about: ObjectReference, event: RecordEvent) -> None:
        """Record an event about an object."""
        await self._events.record(about, event.reason, event.message, action="Reconcile", warning=event.warning)

    async def create(self, resource: Resource, namespace: str, manifest: Object, what: str = "") -> Object:
        """Create an object. Messages call it `what`, or by its kind.

        Raises:
            AlreadyExists: an object of that name exists.
            Refused: the API server has decided against it.
            KubeError: the API server has not decided.
        """
        try:
            return await self._client.create(resource, namespace, manifest)
        except KubeError as error:
            if not is_refusal(error):
                raise
            message = f"the API server refuses the {what or resource.kind}: {error.message}"
            raise Refused(message, by_rules=_is_by_rules(error)) from error

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Object | None:
        """Delete the object of this UID. Returns the API server's response, None if the object is gone."""
        try:
            return await self._client.delete(resource, namespace, name, uid=uid, grace=grace)
        except NotFound:
            return None

    async def patch(
        self,
        resource: Resource,
        key: Key,
        operations: tuple[Operation, ...],
        *,
        log: logs.BoundLogger,
        subresource: str | None = None,
    ) -> Object | None:
        """Apply a guarded JSON patch. Returns the new object, None if the object is gone.

        Raises:
            Conflict: the object is no longer as it was seen.
        """
        paths = [operation["path"] for operation in operations if operation["op"] != "test"]
        log.info("patching", kind=resource.kind, object=key[1], paths=paths)
        try:
            return await self._client.json_patch(resource, *key, operations, subresource)
        except NotFound:
            return None

    async def read(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The object as the API server has it now; None: there is no such object."""
        try:
            return await self._client.get(resource, namespace, name)
        except NotFound:
            return None

    async def live(self, resource: Resource, namespace: str | None, name: str) -> ObjectMeta | None:
        """The metadata of the same."""
        found = await self.read(resource, namespace, name)
        return msgspec.convert(found, PartialObject).metadata if found is not None else None

    async def require(self, resource: Resource, meta: ObjectMeta, *, unchanged: bool = False) -> None:
        """Check that the API server has the cached object, not deleted, and if `unchanged`, in the cached version.

        Raises:
            Conflict: it has not; the cache is behind.
        """
        found = await self.live(resource, meta.namespace, meta.name)
        if found is None or found.uid != meta.uid or found.deletion_timestamp is not None:
            raise Conflict(409, f"{resource.kind} {meta.name} is another one or deleted: the cache is behind")
        if unchanged and found.resource_version != meta.resource_version:
            raise Conflict(409, f"{resource.kind} {meta.name} has changed: the cache is behind")


def is_refusal(error: KubeError) -> bool:
    """Whether the API server has decided against a request, so that a retry does not help until somebody changes
    something."""
    return _is_by_rules(error) or error.status == _INTERNAL


def _is_by_rules(error: KubeError) -> bool:
    return isinstance(error, (Forbidden, Invalid))

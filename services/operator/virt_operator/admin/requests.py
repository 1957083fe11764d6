"""Carries out what an administrator requests: a change of the KubeVirt object on behalf of the caller, with an event.
Called by servicer.py.

What is possible is decided by virt_core.objects.upgrade_request, for virtadm, too. The API server's admission of the
change is the operator's own webhook, so a spec that is refused there is refused here in its words.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from kubevirt.admin.v1 import admin_pb2
from virt_core import logs
from virt_core.conventions import components
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import by_precedence
from virt_core.objects.meta import ObjectReference, PartialObject
from virt_core.objects.upgrade_request import BadArgument, Change, Impossible
from virt_core.rpc.errors import InvalidField, Refused, Unavailable

from virt_operator.settings import Settings

_log = logs.bound("virt_operator.admin.requests")


async def active(client: KubeClient, namespace: str) -> Object | None:
    """The active KubeVirt object with all its fields.

    Raises:
        Unavailable: the API server does not answer.
    """
    try:
        kubevirts = await client.list(KUBEVIRTS)
    except KubeError as error:
        raise Unavailable(f"the API server does not answer: {error}") from error
    by_uid = {kubevirt["metadata"]["uid"]: kubevirt for kubevirt in kubevirts}
    suite, _ = by_precedence((msgspec.convert(kubevirt, PartialObject) for kubevirt in kubevirts), namespace)
    return by_uid[suite.metadata.uid] if suite is not None else None


class Requests:
    """Writes what callers request."""

    def __init__(self, client: KubeClient, settings: Settings) -> None:
        self._client = client
        self._namespace = settings.namespace
        self._events = EventRecorder(client, components.OPERATOR, settings.pod_name)

    async def carry_out(self, name: str, caller: str, decide: Callable[[Object], Change]) -> admin_pb2.Requested:
        """The change that `decide` makes of the KubeVirt object, for the user `caller`. `name` is the method's.

        Raises:
            InvalidField: an argument is malformed.
            Refused: the state of the suite, or the API server's admission, does not allow it.
            Unavailable: the API server does not answer.
        """
        kubevirt = await active(self._client, self._namespace)
        if kubevirt is None:
            raise Refused("there is no KubeVirt object: nothing is installed")
        try:
            change = decide(kubevirt)
        except BadArgument as error:
            raise InvalidField(error.field, error.value, error.allowed) from error
        except Impossible as error:
            raise Refused(str(error)) from error
        if change.patch:
            await self._write(kubevirt, change)
            _log.info("changing the KubeVirt object", request=name, user=caller, what=change.message)
            note = f"{change.message} (by user {caller})"
            await self._events.record(_reference(kubevirt), f"{name}Requested", note, action=name)
        return admin_pb2.Requested(message=change.message, changed=bool(change.patch), version=change.version)

    async def _write(self, kubevirt: Object, change: Change) -> None:
        meta = kubevirt["metadata"]
        try:
            await self._client.merge_patch(KUBEVIRTS, meta["namespace"], meta["name"], change.patch_of(kubevirt))
        except (Invalid, Forbidden, Conflict, NotFound) as error:
            raise Refused(f"the API server refuses the change of the KubeVirt object: {error.message}") from error
        except KubeError as error:
            raise Unavailable(f"the API server does not answer: {error}") from error


def _reference(kubevirt: Object) -> ObjectReference:
    meta = kubevirt["metadata"]
    return ObjectReference(KUBEVIRTS.api_version, KUBEVIRTS.kind, meta["name"], meta["namespace"], meta["uid"])

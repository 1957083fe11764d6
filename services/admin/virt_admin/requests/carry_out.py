"""Carries out a request: by virt-operator, which records who it was, or as a change of the KubeVirt object with the
user's own rights. Called by commands.py.

Without a client certificate virt-operator does not know the user, so the object is changed directly: then the
permission to patch it counts instead of a verb on kubevirts/admin.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from virt_core.kube.errors import Invalid, KubeError
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.meta import PartialObject, rfc3339
from virt_core.objects.upgrade_request import BadArgument, Impossible
from virt_core.objects.upgrade_state import Json
from virt_core.rpc.peer import Peer

from virt_admin.access import Access
from virt_admin.outcome import CannotTell, NotPossible, OperatorSilent, WrongArgument
from virt_admin.peers.replica import asked
from virt_admin.requests.wish import Requested, Wish
from virt_admin.show import NOTHING
from virt_admin.suite.listing import refused
from virt_admin.suite.observed import suite_of

_DEADLINE = 30.0  # seconds
_NO_CERTIFICATE = (
    "this kubeconfig has no client certificate, by which virt-operator knows users: changing the KubeVirt object with "
    "your own rights"
)


async def carry_out(access: Access, wish: Wish, *, direct: bool) -> Requested:
    """What was requested.

    Raises:
        NotPossible: the suite's state does not allow it.
        WrongArgument: an argument is malformed.
        CannotTell: there is no permission, or no answer.
    """
    if not direct and access.certificate is None:
        click.echo(_NO_CERTIFICATE, err=True)
        direct = True
    if direct:
        return await _written(access, wish)

    async def call(peer: Peer, stub: Any) -> Requested:
        response: Any = await peer.call(getattr(stub, wish.method), wish.request, timeout=_DEADLINE)
        requested = response.requested
        return Requested(requested.message, requested.changed, requested.version)

    try:
        return await asked(access, wish.command, call)
    except OperatorSilent as error:
        hint = "with --direct you change the KubeVirt object yourself, and virt-operator acts when it works"
        raise CannotTell(f"{error}; {hint}") from error


async def _written(access: Access, wish: Wish) -> Requested:
    kubevirt = await _suite(access)
    try:
        change = wish.change(kubevirt, rfc3339(datetime.now(UTC)))
    except BadArgument as error:
        raise WrongArgument(str(error)) from error
    except Impossible as error:
        raise NotPossible(str(error)) from error
    if change.patch:
        meta = kubevirt["metadata"]
        try:
            await access.client.merge_patch(KUBEVIRTS, meta["namespace"], meta["name"], change.patch_of(kubevirt))
        except Invalid as error:
            raise NotPossible(f"the API server refuses the change of the KubeVirt object: {error.message}") from error
        except KubeError as error:
            raise refused("patch kubevirts", error) from error
    return Requested(change.message, bool(change.patch), change.version)


async def _suite(access: Access) -> Json:
    """The KubeVirt object that counts, with all its fields."""
    try:
        kubevirts = await access.client.list(KUBEVIRTS)
    except KubeError as error:
        raise refused("list kubevirts", error) from error
    by_uid = {kubevirt["metadata"]["uid"]: kubevirt for kubevirt in kubevirts}
    suite = suite_of(msgspec.convert(kubevirt, PartialObject) for kubevirt in kubevirts)
    if suite is None:
        raise NotPossible(NOTHING)
    return by_uid[suite.metadata.uid]

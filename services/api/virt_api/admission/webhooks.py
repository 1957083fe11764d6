"""Webhooks for the suite's objects. Called by app.py; routes.py adds them to the HTTPS server of the aggregated
API.

The API server calls without a client certificate, so anybody in the cluster may call; a response reveals only the
decision about the request itself. Reviews are decided in threads, so that they do not block the consoles on the event
loop. Their number and size are limited; further reviews wait for their turn, since an administrator's tool applies a
hundred objects at once, and are refused when it does not come in time.
What a decision rests on besides the object is read before it: the instance type and the preference that a
VirtualMachine names, the guest of a migration.
Each response closes its connection. An open connection outlives the replica's removal from the Service: a draining
replica would have to refuse the next review, and with it a VirtualMachineInstance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.conventions.webhooks import VM_VALIDATE
from virt_core.kube.client import KubeClient
from virt_core.kube.configuration import ConfigurationCache
from virt_core.kube.errors import KubeError, NotFound
from virt_core.objects.admission_review import BadReview
from virt_core.objects.kubevirt import Configuration

from virt_api.admission import instancetypes, migration, replica_set, vm, vmi
from virt_api.admission.review import Circumstances, Request, read
from virt_api.admission.stored import Found, Needed, Selection
from virt_api.errors import BadRequest, ServiceUnavailable

Body = Mapping[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logs.bound("virt_api.admission.webhooks")
_DECISIONS = {
    **vmi.DECISIONS,
    **vm.DECISIONS,
    **replica_set.DECISIONS,
    **instancetypes.DECISIONS,
    **migration.DECISIONS,
}
_NEEDS = {**vm.NEEDS, **migration.NEEDS}
_THREADS = 2  # parallel decisions; they are pure Python and share a processor
_DEADLINE = 4.0  # seconds for one of the two rounds of reading; kube-apiserver waits 10 for the answer
_ARRIVAL = 4.0  # seconds in which the whole review arrives: who sends slowly must not keep others waiting
_MOST_LISTED = 500  # with a label
_TURN = 5.0  # seconds that a review waits for its turn
_MOST_REVIEWS = 32  # in progress; memory must hold as many of the largest (objects/admission_review.py)
_MOST_WAITING = 1024  # their bodies are not read yet: a connection and a task for each


def webhooks(
    client: KubeClient,
    configuration: ConfigurationCache,
    own: Collection[str],
    created: Callable[[str], None] = lambda _: None,
) -> Mapping[str, Handler]:
    """Handlers by path, based on the decisions of the module of each kind. `own` are the suite's users. `created` is
    called, in a thread, with the namespace of each VirtualMachine that may be created."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="admission")
    turns, waiting = asyncio.Semaphore(_MOST_REVIEWS), 0

    def decided(path: str, content: bytes, current: Configuration, found: Found) -> bytes | set[Needed]:
        """Decode, decide and encode: 1.6 s measured for a hostile object of 3 MiB. If objects are missing in `found`:
        which ones."""
        request = read(content)
        if path in _NEEDS and (needed := set(_NEEDS[path](request, found)) - found.keys()):
            return needed
        body = _DECISIONS[path](request, Circumstances(current, own, datetime.now(UTC), found))
        response = body["response"]
        if not response["allowed"]:
            _log_denial(request, response["status"]["message"])
        elif path == VM_VALIDATE and request.operation == "CREATE" and not request.dry_run:
            created(request.namespace)
        return msgspec.json.encode(body)

    async def turn() -> None:
        """Wait for one of the semaphore's turns."""
        nonlocal waiting
        if waiting >= _MOST_WAITING:
            raise ServiceUnavailable(f"{waiting} reviews are waiting, try again")
        waiting += 1
        try:
            async with asyncio.timeout(_TURN):
                await turns.acquire()
        except TimeoutError as error:
            raise ServiceUnavailable(f"{_MOST_REVIEWS} reviews are in work, try again") from error
        finally:
            waiting -= 1

    async def review(http: web.Request) -> web.StreamResponse:
        await turn()
        try:
            return await answered(http)
        finally:
            turns.release()

    async def answered(http: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_ARRIVAL):
                content = await http.read()
        except TimeoutError as error:
            raise BadRequest(f"the review did not arrive within {_ARRIVAL:.0f} s") from error
        current = configuration.current
        if current is None:
            raise ServiceUnavailable(f"nothing is admitted without the suite's configuration: {configuration.unknown}")
        loop, found = asyncio.get_running_loop(), dict[Needed, Body | None]()
        try:
            while isinstance(
                body := await loop.run_in_executor(threads, decided, http.path, content, current, found), set
            ):
                found |= await _read(client, body)
        except BadReview as error:
            raise BadRequest(str(error)) from error
        response = web.Response(body=body, content_type="application/json")
        response.force_close()
        return response

    return dict.fromkeys(_DECISIONS, review)


def _log_denial(request: Request, why: str) -> None:
    _log.info("denying", operation=request.operation, user=request.user_info.username, reason=why[:1000])


async def _read(client: KubeClient, references: Collection[Needed]) -> dict[Needed, Body | None]:
    """The objects; None for one that does not exist.

    Raises:
        ServiceUnavailable: kube-apiserver does not say. Then nothing is admitted.
    """

    async def read_one(reference: Needed) -> Body | None:
        try:
            if isinstance(reference, Selection):
                selector = f"{reference.label}={reference.value}"
                found = await client.list(reference.resource, reference.namespace, labels=selector, limit=_MOST_LISTED)
                return {"items": found}
            return await client.get(reference.resource, reference.namespace, reference.name)
        except NotFound:
            return None
        except KubeError as error:
            raise ServiceUnavailable(f"cannot read {reference}, try again: {error}") from error

    try:
        async with asyncio.timeout(_DEADLINE):
            return {reference: await read_one(reference) for reference in references}
    except TimeoutError as error:
        raise ServiceUnavailable(f"cannot read {', '.join(map(str, references))} in time, try again") from error

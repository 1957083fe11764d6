"""Webhooks for the suite's objects. Called by app.py; routes.py adds them to the HTTPS server of the aggregated
API.

The API server calls without a client certificate, so anybody in the cluster may call; a response reveals only the
decision about the request itself. Reviews are decided in threads, so that they do not block the consoles on the event
loop. Their number and size are limited; further reviews are refused at once.
Each response closes its connection. An open connection outlives the replica's removal from the Service: a draining
replica would have to refuse the next review, and with it a VirtualMachineInstance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.kube.configuration import ConfigurationCache
from virt_core.objects.admission_review import BadReview
from virt_core.objects.kubevirt import Configuration

from virt_api.admission import replica_set, vm, vmi
from virt_api.admission.review import Circumstances, read
from virt_api.errors import BadRequest, ServiceUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logs.bound("virt_api.admission.webhooks")
_DECISIONS = {**vmi.DECISIONS, **vm.DECISIONS, **replica_set.DECISIONS}
_THREADS = 2  # parallel decisions; they are pure Python and share a processor
_MOST_REVIEWS = 32  # in progress; memory must hold as many of the largest (objects/admission_review.py)


def webhooks(configuration: ConfigurationCache, own: Collection[str]) -> Mapping[str, Handler]:
    """Handlers by path, based on the decisions of vmi.py, vm.py and replica_set.py. `own` are the suite's users."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="admission")
    in_work = 0

    def decided(path: str, content: bytes, current: Configuration) -> bytes:
        """Decode, decide and encode: 1.6 s measured for a hostile object of 3 MiB."""
        request = read(content)
        body = _DECISIONS[path](request, Circumstances(current, own, datetime.now(UTC)))
        response = body["response"]
        if not response["allowed"]:
            user, why = request.user_info.username, response["status"]["message"]
            _log.info("denying", operation=request.operation, user=user, reason=why[:1000])
        return msgspec.json.encode(body)

    async def review(http: web.Request) -> web.StreamResponse:
        nonlocal in_work
        if in_work >= _MOST_REVIEWS:
            raise ServiceUnavailable(f"{_MOST_REVIEWS} reviews are in work, try again")
        in_work += 1
        try:
            return await answered(http)
        finally:
            in_work -= 1

    async def answered(http: web.Request) -> web.StreamResponse:
        content = await http.read()
        current = configuration.current
        if current is None:
            raise ServiceUnavailable(f"nothing is admitted without the suite's configuration: {configuration.unknown}")
        try:
            body = await asyncio.get_running_loop().run_in_executor(threads, decided, http.path, content, current)
        except BadReview as error:
            raise BadRequest(str(error)) from error
        response = web.Response(body=body, content_type="application/json")
        response.force_close()
        return response

    return dict.fromkeys(_DECISIONS, review)

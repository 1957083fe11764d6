"""The paths that the API server asks before it stores a VirtualMachineInstance. Called by app.py; routes.py puts
them onto the HTTPS server of the aggregated API.

The API server comes without a certificate, and whoever asks gets a verdict on what they sent: nothing here is a secret.
Each answer closes its connection, because an open one to a replica outlives the Service's knowledge of it: a replica
that drains would have to refuse the next review on it, and a refused review is a refused VirtualMachineInstance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.kube.configuration import ConfigurationCache
from virt_core.objects.admission_review import BadReview

from virt_api.admission.vmi import DECISIONS, Circumstances, read
from virt_api.errors import BadRequest, ServiceUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logs.bound("virt_api.admission.webhooks")


def webhooks(configuration: ConfigurationCache, own: Collection[str]) -> Mapping[str, Handler]:
    """Handlers by path, which answer by the decisions of admission/vmi.py; `own` are the suite's users."""

    async def review(http: web.Request) -> web.StreamResponse:
        try:
            request = read(await http.read())
        except BadReview as error:
            raise BadRequest(str(error)) from error
        current = configuration.current
        if current is None:
            raise ServiceUnavailable(f"nothing is admitted without the suite's configuration: {configuration.unknown}")
        body = DECISIONS[http.path](request, Circumstances(current, own, datetime.now(UTC)))
        told = body["response"]
        if not told["allowed"]:
            user, why = request.user_info.username, told["status"]["message"]
            _log.info("denying", operation=request.operation, user=user, reason=why[:1000])
        response = web.Response(body=msgspec.json.encode(body), content_type="application/json")
        response.force_close()
        return response

    return dict.fromkeys(DECISIONS, review)

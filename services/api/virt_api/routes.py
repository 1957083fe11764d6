"""Routes of the HTTPS server; converts every error to a Status object. Called by app.py.

Open to everyone: discovery, OpenAPI, version, health, metrics and the webhooks. For all other paths authentication,
authorization and the check for support follow in this order, so that callers learn only what they are allowed to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web
from virt_core import logs
from virt_core.conventions.component_pod import HEALTH_PATH, METRICS_PATH
from virt_core.conventions.subresources import EXPAND_MANIFEST, GROUP, GUESTFS, HEALTHZ, VERSIONS
from virt_core.kube.client import KubeClient
from virt_core.metrics.measured import CONTENT_TYPE, Measured
from virt_core.objects.admission_review import LARGEST_REVIEW

from virt_api import errors
from virt_api.admission.webhooks import Handler
from virt_api.aggregation.authentication import FrontProxyWatch, authenticate
from virt_api.aggregation.authorization import Authorizer
from virt_api.aggregation.documents import static_documents
from virt_api.aggregation.health import Health
from virt_api.subresources.call import Call, parse_call, parse_expand_manifest
from virt_api.subresources.served import Served

_log = logs.bound("virt_api.routes")
_GROUP = f"/apis/{GROUP}"
_VERSION = "{version:" + "|".join(VERSIONS) + "}"
_SUBRESOURCE = f"{_GROUP}/{_VERSION}/namespaces/{{namespace}}/{{resource}}/{{name}}/{{rest:.+}}"
_EXPAND_MANIFEST = f"{_GROUP}/{_VERSION}/namespaces/{{namespace}}/{EXPAND_MANIFEST}"
_NO_GUESTFS = f"{GUESTFS} is not supported by this release, which has no image of it: name one, virtctl guestfs --image"


def make_application(
    *,
    release: str,
    client: KubeClient,
    front_proxy: FrontProxyWatch,
    served: Served,
    health: Health,
    measured: Measured,
    webhooks: Mapping[str, Handler],
    ready: Callable[[], bool],
) -> web.Application:
    """The web application. `ready` is the result of the kubelet's readiness probe."""
    application = web.Application(middlewares=[refusals_as_status], client_max_size=LARGEST_REVIEW)
    authorizer = Authorizer(client)

    async def authorized(request: web.Request, parsed: Callable[[], Call]) -> web.StreamResponse:
        certificate = request.get_extra_info("peercert")
        user = authenticate(certificate, request.headers, front_proxy.rules)
        call = parsed()
        await authorizer.authorize(user, call)
        call.require_supported()
        return await served.answer(request, call)

    async def subresource(request: web.Request) -> web.StreamResponse:
        return await authorized(request, lambda: parse_call(request.method, **request.match_info))

    async def expand_manifest(request: web.Request) -> web.StreamResponse:
        return await authorized(request, lambda: parse_expand_manifest(**request.match_info))

    async def guestfs(_: web.Request) -> web.StreamResponse:
        raise errors.NotSupported(_NO_GUESTFS)

    async def anything_else(request: web.Request) -> web.StreamResponse:
        authenticate(request.get_extra_info("peercert"), request.headers, front_proxy.rules)
        raise errors.NotFound(f"there is no path {request.path!r}")

    async def probe(_: web.Request) -> web.StreamResponse:
        return web.Response(text="ok") if ready() else web.Response(status=503, text="not ready")

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=await measured.body(), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: web.Request) -> web.StreamResponse:
        status, document = await health.check()
        return _json(document, status)

    for path, document in static_documents(release).items():
        application.router.add_get(path, document.serve)
    application.router.add_get(HEALTH_PATH, probe)
    application.router.add_get(METRICS_PATH, metrics)
    for path, review in webhooks.items():
        application.router.add_post(path, review)
    for version in VERSIONS:
        application.router.add_get(f"{_GROUP}/{version}/{HEALTHZ}", healthz)
        application.router.add_get(f"{_GROUP}/{version}/{GUESTFS}", guestfs)
    application.router.add_put(_EXPAND_MANIFEST, expand_manifest)
    application.router.add_route("*", _SUBRESOURCE, subresource)
    application.router.add_route("*", "/{rest:.*}", anything_else)
    return application


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


@web.middleware
async def refusals_as_status(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every error of a handler as a Status object."""
    try:
        return await handler(request)
    except errors.ApiError as error:
        refusal = error
    except web.HTTPException as error:  # raised by aiohttp: an invalid path, a body that is too large
        refusal = errors.BadRequest(error.text or error.reason)
        refusal.code = error.status
    except Exception as error:
        if request.writer.output_size:  # already upgraded: only the connection can be closed
            raise
        _log.error("answering with an internal error", path=request.path, exc_info=error)
        refusal = errors.ApiError("virt-api has failed, its log says why")
    _log.info("refusing request", path=request.path, method=request.method, code=refusal.code, reason=refusal.message)
    return _json(refusal.to_status(), refusal.code)

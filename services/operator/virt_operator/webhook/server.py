"""The HTTPS server of the webhook for KubeVirt objects. Run by app.py on every replica.

rules.py decides; this module reads the objects that it needs. On SIGTERM the replica becomes unready at once but serves
for a short time, because Services need a moment to remove it. Each response closes its connection: KubeVirt objects
rarely change, and an open connection would outlive the replica's removal from the Service.
"""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web
from virt_core import aio, logs
from virt_core.conventions.component_pod import HEALTH_PATH
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.admission_review import LARGEST_REVIEW, BadReview, Denial, answer
from virt_core.rpc.server_tls import ServerTls
from virt_core.rpc.tls import Certificates

from virt_operator.removal.workloads import any_workload
from virt_operator.settings import Settings
from virt_operator.webhook import rules
from virt_operator.webhook.configuration import PATH
from virt_operator.webhook.review import AdmissionRequest, read

_CLOSING = 2.0
_log = logs.bound("virt_operator.webhook.server")


class WebhookServer:
    """`serving` is set while the server accepts reviews."""

    def __init__(self, client: KubeClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.serving = asyncio.Event()
        self.addresses: list[tuple[str, int]] = []

    async def run(self, certified: asyncio.Event, stopping: asyncio.Event) -> None:
        """Wait for the certificate, then serve until shortly after `stopping`."""
        await aio.first(certified, stopping)
        if not certified.is_set():
            return
        # The API server calls without a client certificate; responses contain no secrets.
        tls = ServerTls(Certificates(self._settings.certificates), lambda: "")
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_CLOSING)
        await runner.setup()
        try:
            await web.TCPSite(runner, port=self._settings.https_port, ssl_context=tls.context).start()
            self.addresses = [(address[0], address[1]) for address in runner.addresses]
            _log.info("serving", addresses=self.addresses)
            self.serving.set()
            await stopping.wait()
            self.serving.clear()
            _log.info("draining", seconds=self._settings.drain)
            await asyncio.sleep(self._settings.drain)
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_REVIEW)
        application.router.add_post(PATH, self._review)
        application.router.add_get(HEALTH_PATH, self._health)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok") if self.serving.is_set() else web.Response(status=503, text="not ready")

    async def _review(self, http: web.Request) -> web.Response:
        try:
            request = read(await http.read())
        except BadReview as error:
            _log.warning("refusing a review", reason=str(error))
            response = web.Response(status=400, text=str(error))
        else:
            refusal = await self._judge(request)
            if refusal is not None:
                _log.info("refusing", operation=request.operation, reason=refusal.message)
            warnings = rules.warnings(request) if refusal is None else ()
            body = msgspec.json.encode(answer(request.uid, refusal, warnings=warnings))
            response = web.Response(body=body, content_type="application/json")
        response.force_close()
        return response

    async def _judge(self, request: AdmissionRequest) -> Denial | None:
        try:
            if request.operation == "CREATE" and request.object is not None:
                misplaced = rules.misplaced(request.object, self._settings)
                refusal = misplaced or rules.second(await self._client.list(KUBEVIRTS, limit=1))
                if refusal is not None:
                    return refusal
            if rules.asks_for_workloads(request):
                return rules.kept_by(await any_workload(self._client, self._settings.namespace))
        except KubeError as error:
            message = f"virt-operator cannot find out now whether this is allowed, repeat it later: {error}"
            return Denial("ServiceUnavailable", 503, message)
        return rules.refused_spec(request, self._settings)

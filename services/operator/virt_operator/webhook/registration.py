"""Registers the webhook when it serves, and repairs the registration. Run by app.py on every replica.

Order: serve, check that the Service reaches a serving replica, then write the configuration with the CA bundle. Before
that there is no configuration, so on a new cluster no request fails because the webhook does not answer yet. Any
replica creates an absent configuration; only the leader repairs differences, so that two releases do not revert each
other's writes during an update of the operator. Nothing is written without a difference.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable

import aiohttp
import msgspec
from virt_core import logs
from virt_core.conventions import components
from virt_core.conventions.certificate_files import BUNDLE
from virt_core.conventions.component_pod import HEALTH_PATH, HTTPS_SERVICE_PORT
from virt_core.conventions.webhooks import OPERATOR_VALIDATOR
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, VALIDATING_WEBHOOK_CONFIGURATIONS
from virt_core.objects.meta import ObjectMeta

from virt_operator.settings import Settings
from virt_operator.strategy.ref import Body
from virt_operator.suite.drift import difference
from virt_operator.webhook.configuration import OWNER_CRD, SERVICE, configuration

_MANAGER = components.OPERATOR
_LOOK = 2.0  # seconds; detects new bundles and a new leader, without requests if nothing differs
_LOOK_FOR_CRD = 15.0  # seconds, if there is no CRD
_TRY, _PATIENCE = 0.3, 30.0
_log = logs.bound("virt_operator.webhook.registration")


class _Configuration(msgspec.Struct, frozen=True):
    """The watched configuration."""

    metadata: ObjectMeta
    webhooks: msgspec.Raw = msgspec.Raw(b"[]")


class WebhookRegistration:
    """Maintains the ValidatingWebhookConfiguration."""

    def __init__(self, client: KubeClient, settings: Settings, leading: Callable[[], bool]) -> None:
        self._client = client
        self._settings = settings
        self._leading = leading
        self._changed = asyncio.Event()
        self._owner = ""  # UID of the CRD
        self._reflector = Reflector(
            client,
            VALIDATING_WEBHOOK_CONFIGURATIONS,
            _Configuration,
            lambda _: self._changed.set(),
            fields=f"metadata.name={OPERATOR_VALIDATOR}",
        )

    async def run(self, serving: asyncio.Event) -> None:
        """Run until cancelled, starting when the webhook is `serving`."""
        await serving.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self._reflector.run(), name=f"watch of ValidatingWebhookConfiguration {OPERATOR_VALIDATOR}"
            )
            await self._reflector.synced.wait()
            while True:
                self._changed.clear()
                try:
                    await self._reconcile()
                except (KubeError, OSError) as error:
                    _log.warning("retrying to register the webhook", reason=str(error))
                await self._stirred()

    async def _reconcile(self) -> None:
        live = self._reflector.get(("", OPERATOR_VALIDATOR))
        if live is None or not self._owner:
            self._owner = await self._owner_uid()
        if not self._owner:
            return  # no CRD, so no KubeVirt objects; garbage collection deletes the configuration
        bundle = (self._settings.certificates / BUNDLE).read_bytes()
        wanted = configuration(self._settings.namespace, b64encode(bundle).decode(), self._owner)
        why = "absent" if live is None else _difference(wanted, live)
        if why is None or (live is not None and not self._leading()):
            return
        if live is None:
            await self._service_answers()
        _log.info("applying", object=f"ValidatingWebhookConfiguration {OPERATOR_VALIDATOR}", reason=why)
        await self._client.apply(VALIDATING_WEBHOOK_CONFIGURATIONS, None, wanted, manager=_MANAGER)

    async def _service_answers(self) -> None:
        """Return when a request to the Service is answered, or after a timeout: even if a NetworkPolicy blocks pods,
        the API server may be able to connect."""
        url = f"https://{SERVICE}.{self._settings.namespace}.svc:{HTTPS_SERVICE_PORT}{HEALTH_PATH}"
        tls = ssl.create_default_context(cafile=self._settings.certificates / BUNDLE)
        reason = ""
        try:
            async with asyncio.timeout(_PATIENCE), aiohttp.ClientSession() as session:
                while True:
                    try:
                        async with session.get(url, ssl=tls, timeout=aiohttp.ClientTimeout(_TRY * 5)) as answer:
                            if answer.status == 200:
                                return
                            reason = f"status {answer.status}"
                    except (aiohttp.ClientError, TimeoutError, OSError) as error:
                        reason = str(error) or type(error).__name__
                    await asyncio.sleep(_TRY)
        except TimeoutError:
            _log.warning("registering although the Service does not answer from this pod", url=url, reason=reason)

    async def _owner_uid(self) -> str:
        found = await self._client.list(CUSTOM_RESOURCE_DEFINITIONS, fields=f"metadata.name={OWNER_CRD}")
        # A CRD that is being deleted deletes the configuration with it.
        present = [body["metadata"] for body in found if "deletionTimestamp" not in body["metadata"]]
        return str(present[0]["uid"]) if present else ""

    async def _stirred(self) -> None:
        try:
            async with asyncio.timeout(_LOOK if self._owner else _LOOK_FOR_CRD):
                await self._changed.wait()
        except TimeoutError:
            pass


def _difference(wanted: Body, live: _Configuration) -> str | None:
    """The path of the first difference."""
    owners = [(owner.kind, owner.name, owner.uid) for owner in live.metadata.owner_references]
    if owners != [(owner["kind"], owner["name"], owner["uid"]) for owner in wanted["metadata"]["ownerReferences"]]:
        return ".metadata.ownerReferences"
    metadata = {"labels": live.metadata.labels, "annotations": live.metadata.annotations}
    return difference(wanted, {"metadata": metadata, "webhooks": msgspec.json.decode(live.webhooks)})

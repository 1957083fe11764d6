"""The Secret with the suite's certificate authority: created if absent, then watched. Run by app.py on each replica.

It exists before any KubeVirt object, because the operator's own certificate depends on it, and stays when the suite is
removed, until the namespace is deleted. The first replica creates it; only the leader replaces it
(change/renewals.py). Knows nothing of leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from virt_core import logs
from virt_core.conventions import components, labels
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import AlreadyExists, KubeError
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import SECRETS

from virt_operator.certificates.issue import new_authority
from virt_operator.certificates.rollover import Authority, authority_data, read_authority, with_successor
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.certificates.secret import AUTHORITY_SECRET, CertificateSecret

_RETRY = 1.0
_log = logs.bound("virt_operator.certificates.authority")


class AuthorityWatch:
    """`current` is the last version of the Secret, `able` the last authority in it that can sign. The latter survives
    when the Secret is deleted or becomes invalid. Subscribers are called when either changes."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._subscribers: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self.current: CertificateSecret | None = None
        self.able: Authority | None = None
        self._reflector = Reflector(
            client,
            SECRETS,
            CertificateSecret,
            lambda _: self._seen(),
            namespace=namespace,
            fields=f"metadata.name={AUTHORITY_SECRET}",
        )

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change."""
        self._subscribers.append(changed)

    def wrote(self, answer: Object) -> None:
        """Store the API server's response to our own write."""
        self._take(msgspec.convert(answer, CertificateSecret))

    @property
    def version(self) -> str:
        """The Secret's resourceVersion, "" while there is none."""
        return self.current.metadata.resource_version if self.current is not None else ""

    @property
    def invalid(self) -> bool:
        """Whether the Secret exists but has no authority that can sign."""
        return self.current is not None and read_authority(self.current.data) is None

    async def run(self) -> None:
        """Watch the Secret, and create it whenever it is absent, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run(), name=f"watch of Secret {AUTHORITY_SECRET}")
            await self._reflector.synced.wait()
            while True:
                self._changed.clear()
                if self.current is None and not await self._create():
                    await asyncio.sleep(_RETRY)
                    continue
                await self._changed.wait()

    async def _create(self) -> bool:
        _log.info("creating the certificate authority", secret=AUTHORITY_SECRET)
        meta = {"name": AUTHORITY_SECRET, "namespace": self._namespace, "labels": {labels.APP: components.OPERATOR}}
        # If the Secret was deleted, the old authority signs until every pod trusts the new one.
        made = new_authority(datetime.now(UTC), DEFAULT.authority.duration)
        data = authority_data(with_successor(self.able, made) if self.able is not None else Authority(made))
        data = {key: value for key, value in data.items() if value is not None}
        body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta, "data": data}
        try:
            self.wrote(await self._client.create(SECRETS, self._namespace, body))
        except AlreadyExists:
            return self.current is not None  # another replica created it, and the watch reports it
        except KubeError as error:
            _log.warning("retrying to create the certificate authority", reason=str(error))
            return False
        return True

    def _seen(self) -> None:
        seen = self._reflector.get((self._namespace, AUTHORITY_SECRET))
        if seen is None or self.current is None or _version(seen) >= _version(self.current):
            self._take(seen)

    def _take(self, secret: CertificateSecret | None) -> None:
        self.current = secret
        if secret is not None:
            self.able = read_authority(secret.data) or self.able
        self._changed.set()
        for changed in self._subscribers:
            changed()


def _version(secret: CertificateSecret) -> int:
    # Formally opaque, but an increasing number in every API server; an error would only cost a repeated request.
    text = secret.metadata.resource_version
    return int(text) if text.isdigit() else 0

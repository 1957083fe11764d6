"""Somebody who installs the Prometheus operator's kinds and a Prometheus into a test's cluster, or takes them away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from virt_core.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, SERVICE_ACCOUNTS
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.history import Object
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.strategy.ref import FOREIGN, KINDS, Ref
from virt_operator.suite.observed import SuiteObject
from virt_operator.suite.prometheus import Prometheus, attempted, wanted
from virt_operator.suite.prometheus import Refused as RefusedWrite


def definition(kind: str, *, version: str = "v1", established: str = "True", deleted: str = "") -> Object:
    """A definition as the API server shows it; `deleted` is when it was."""
    going = {"deletionTimestamp": deleted, "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]}
    return {
        "metadata": {"name": FOREIGN[kind], **(going if deleted else {})},
        "spec": {"versions": [{"name": version, "served": True}]},
        "status": {"conditions": [{"type": "Established", "status": established}]},
    }


class PrometheusOperator:
    """Its kinds, and what virt-operator knows of them."""

    def __init__(self, server: FakeApiServer, now: Callable[[], datetime]) -> None:
        self._server = server
        self._now = now
        self._refused: dict[Ref, RefusedWrite] = {}
        self.refusing: set[str] = set()
        """Names of objects whose every write is refused, by a webhook for example."""

        self.unlisted: dict[str, str] = {}
        """Kinds that are served and not listed yet, with the reason."""

        self.unmonitored: frozenset[str] = frozenset()
        """Releases without objects for Prometheus."""

        self.answer = (403, "Forbidden", "denied by a policy")
        self.tries = 0
        """Refused writes."""

    def define(self, *kinds: str) -> None:
        for kind in kinds:
            self._server.put(CUSTOM_RESOURCE_DEFINITIONS.path(), definition(kind))

    def undefine(self, kind: str) -> None:
        """With a definition go the objects."""
        for body in self._server.store.select(Place.parse(KINDS[kind].path()), lambda _: True):
            self._server.remove(KINDS[kind].path(body["metadata"]["namespace"], body["metadata"]["name"]))
        self._server.remove(CUSTOM_RESOURCE_DEFINITIONS.path(None, FOREIGN[kind]))

    def has(self, *kinds: str) -> None:
        """These are defined, and no others."""
        definitions = Place.parse(CUSTOM_RESOURCE_DEFINITIONS.path())
        names = {body["metadata"]["name"] for body in self._server.store.select(definitions, lambda _: True)}
        for kind, name in FOREIGN.items():
            if kind in kinds and name not in names:
                self.define(kind)
            if kind not in kinds and name in names:
                self.undefine(kind)

    def account(self, namespace: str = "monitoring", name: str = "prometheus-k8s") -> None:
        self._server.put(SERVICE_ACCOUNTS.path(namespace), {"metadata": {"name": name, "namespace": namespace}})

    def judge(self, method: str, place: Place) -> None:
        """Refuse a write, for the server's `fault`."""
        if method != "GET" and place.name in self.refusing:
            self.tries += 1
            raise Refused(*self.answer)

    def attempted(self, ref: Ref, action: object, why: str | None) -> None:
        self._refused = attempted(self._refused, ref, action, why, self._now())

    def observed(self, suite: SuiteObject | None) -> Prometheus:
        """What the operator's watches would show."""
        store, wishes = self._server.store, wanted(suite.spec) if suite is not None else None
        definitions = Place.parse(CUSTOM_RESOURCE_DEFINITIONS.path())
        names = {body["metadata"]["name"] for body in store.select(definitions, lambda _: True)}
        served = frozenset(kind for kind, name in FOREIGN.items() if name in names)
        if not served or wishes is None:
            return Prometheus(served, refused=self._refused)
        accounts = store.select(
            Place.parse(SERVICE_ACCOUNTS.path()), lambda body: bool(body["metadata"]["name"] == wishes.account)
        )
        namespaces = frozenset(body["metadata"]["namespace"] for body in accounts)
        return Prometheus(served, self.unlisted, namespaces, refused=self._refused)

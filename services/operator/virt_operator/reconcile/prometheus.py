"""Watches whether the cluster has a Prometheus of the Prometheus operator. Called by inventory.py.

Two watches are always there, one for each definition by its name. Only while one of the kinds is defined are their
objects watched, and the service accounts of the name that the KubeVirt object gives, in all namespaces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, SERVICE_ACCOUNTS
from virt_core.objects.meta import Condition, ObjectMeta, condition_of

from virt_operator.strategy.ref import FOREIGN, KINDS, Ref
from virt_operator.suite.observed import OwnedObject
from virt_operator.suite.prometheus import Prometheus, Refused, attempted


class _Version(msgspec.Struct, frozen=True):
    name: str
    served: bool = False


class _Spec(msgspec.Struct, frozen=True):
    versions: list[_Version] = []


class _Status(msgspec.Struct, frozen=True):
    conditions: list[Condition] = []


class _Definition(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    spec: _Spec = _Spec()
    status: _Status = _Status()

    def serves(self, version: str) -> bool:
        """Whether the API server serves the kind in this version. While it deletes the kind, it takes no new object."""
        established = condition_of(self.status.conditions, "Established")
        served = any(found.name == version and found.served for found in self.spec.versions)
        if self.metadata.deletion_timestamp is not None:
            return False
        return served and established is not None and established.status == "True"


class _Account(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


class PrometheusWatch:
    """What is known; `changed()` is called when it changes."""

    def __init__(self, client: KubeClient, changed: Callable[[], None]) -> None:
        self._client = client
        self._changed = changed
        self._definitions = {kind: self._definition(name) for kind, name in FOREIGN.items()}
        self.defined = {kind: asyncio.Event() for kind in FOREIGN}
        """Set while the API server serves the kind."""

        self._account: str | None = None
        self._accounts: Reflector[_Account] | None = None
        self._followed: str | None = None  # the name of these
        self._woken = asyncio.Event()
        self._refused: dict[Ref, Refused] = {}

    @property
    def synced(self) -> Mapping[str, asyncio.Event]:
        """The event that is set after the first list, by definition."""
        return {FOREIGN[kind]: reflector.synced for kind, reflector in self._definitions.items()}

    def watches(self, objects: Mapping[str, Reflector[OwnedObject]]) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Each watch with a name; `objects` are those of the kinds, which are run elsewhere."""
        named = [(FOREIGN[kind], reflector.run()) for kind, reflector in self._definitions.items()]
        named += [(f"first list of {kind}", self._first_list(kind, objects[kind])) for kind in FOREIGN]
        return [*named, ("Prometheus' service account", self._follow_accounts())]

    def follow(self, account: str | None) -> None:
        """Look for service accounts of this name; None: for none."""
        if account != self._account:
            self._account = account
            self._wake()

    def attempted(self, ref: Ref, action: object, why: str | None) -> None:
        """Store that an action has been tried, and why it was refused, if it was."""
        self._refused = attempted(self._refused, ref, action, why, datetime.now(UTC))
        if why is not None:
            self._changed()

    def known(self, objects: Mapping[str, Reflector[OwnedObject]]) -> Prometheus:
        """The current observation."""
        served = frozenset(kind for kind, defined in self.defined.items() if defined.is_set())
        accounts = self._accounts if self._followed == self._sought else None
        listed = accounts is not None and accounts.synced.is_set()
        return Prometheus(
            served,
            {kind: objects[kind].trouble for kind in sorted(served) if not objects[kind].synced.is_set()},
            frozenset(account.metadata.namespace for account in accounts or ()) if listed else None,
            accounts.trouble if accounts is not None else "",
            self._refused,
        )

    def _definition(self, name: str) -> Reflector[_Definition]:
        fields = f"metadata.name={name}"
        resource = CUSTOM_RESOURCE_DEFINITIONS
        return Reflector(self._client, resource, _Definition, lambda _: self._define(), fields=fields)

    def _define(self) -> None:
        for kind, name in FOREIGN.items():
            definition = self._definitions[kind].get(("", name))
            if definition is not None and definition.serves(KINDS[kind].version):
                self.defined[kind].set()
            else:
                self.defined[kind].clear()
        self._wake()
        self._changed()

    async def _first_list(self, kind: str, objects: Reflector[OwnedObject]) -> None:
        """Call `changed()` when the objects of a kind that has been defined are known: perhaps there are none."""
        while True:
            await self.defined[kind].wait()
            await objects.synced.wait()
            self._changed()
            while self.defined[kind].is_set():
                await self._woken.wait()

    async def _follow_accounts(self) -> None:
        while True:
            name = self._followed = self._sought
            if name is None:
                self._accounts = None
                await self._woken.wait()
                continue
            fields = f"metadata.name={name}"
            self._accounts = Reflector(
                self._client, SERVICE_ACCOUNTS, _Account, lambda _: self._changed(), fields=fields
            )
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._accounts.run(), name=f"service accounts {name}"),
                    group.create_task(
                        self._first_accounts(self._accounts), name=f"first list of service accounts {name}"
                    ),
                ]
                while self._sought == name:
                    await self._woken.wait()
                for task in tasks:
                    task.cancel()

    @property
    def _sought(self) -> str | None:
        return self._account if any(defined.is_set() for defined in self.defined.values()) else None

    async def _first_accounts(self, accounts: Reflector[_Account]) -> None:
        await accounts.synced.wait()
        self._changed()

    def _wake(self) -> None:
        """Let all tasks that wait now look again."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

"""The frame of a kind's controller: its work queue and workers, and the refusals that it remembers.

A kind is a package: observe.py, plan.py, actions.py and status.py decide (pure), execute.py writes (execution.py), and
reconcile.py reads the caches and makes a pass of them. It creates a Controller, which knows no kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from virt_core.kube.queue import WorkQueue
from virt_core.kube.reflector import Key

from virt_controller.caches import Caches

R = TypeVar("R")


class Controller:
    """Reconciles the objects of one kind. An object has one worker at a time; `urgent` ones go before others."""

    def __init__(
        self, name: str, caches: Caches, *, workers: int, urgent: Callable[[Key], bool] = lambda _: False
    ) -> None:
        self._caches = caches
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(name, urgent)

    def enqueue(self, key: Key) -> None:
        """Reconcile the object of that key soon. Caches call it for each change."""
        self._queue.add(key)

    async def work(
        self, reconcile: Callable[[Key], Awaitable[float | None]], first: Callable[[], Iterable[Key]]
    ) -> None:
        """Reconcile until cancelled, starting with the keys of `first` when every cache is complete: before that, an
        object that is missing from a cache may exist.

        `reconcile(key)` is one pass. It returns the seconds after which to reconcile again, or None.
        """
        await self._caches.wait()
        await self._queue.run(reconcile, self._workers, first=first())


class Refusals(Generic[R]):
    """The last refusal for each object, until the object changes. They are lost with the process, which then tries
    once more.

    `version` is what a change alters, for example UID and generation: a namesake or a new spec may be admitted.
    """

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Hashable, R]] = {}

    def remember(self, key: Key, version: Hashable, refusal: R) -> None:
        """The object was refused."""
        self._known[key] = version, refusal

    def get(self, key: Key, version: Hashable) -> R | None:
        """The refusal of this version of the object."""
        known, refusal = self._known.get(key, (None, None))
        return refusal if known == version else None

    def forget(self, key: Key) -> None:
        """The object was admitted, or is gone."""
        self._known.pop(key, None)

"""When a history of passes on a fake cluster has ended. Used by those that run passes in a loop."""

from __future__ import annotations

from virt_operator.suite.plan import Plan

from .world import World


class Rest:
    """Whether the cluster has come to rest: two passes in succession have changed nothing, and nothing is due."""

    def __init__(self) -> None:
        self._quiet = 0

    def is_reached(self, world: World, version: int, decided: Plan) -> bool:
        """After a pass that decided this; `version` is the store's before it."""
        if world.server.store.version != version or decided.actions:
            self._quiet = 0
        elif not world.next_moment(decided):
            self._quiet += 1
        return self._quiet == 2

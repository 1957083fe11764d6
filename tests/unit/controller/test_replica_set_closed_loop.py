"""Whatever happens to a replica set, its controller comes to rest with as many replicas as the user wants.

After each thing that anybody does the controller works until a pass writes nothing. The world is in
replica_set_world.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.at_rest import ControllerAtRest
from tests.unit.controller.replica_set_world import FINAL, ReplicaSetWorld, phase_of

pytestmark = pytest.mark.exhaustive

REPLICAS = st.integers(0, 5)
PICK = st.integers(0, 9)


def _world(server: FakeApiServer) -> ReplicaSetWorld:
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    world = ReplicaSetWorld(server)
    world.add_orphan("stranger", app="db")
    return world


class OneReplicaSet(ControllerAtRest[ReplicaSetWorld]):
    """A replica set and whoever acts on it."""

    def __init__(self) -> None:
        super().__init__(_world)
        self._paused = False
        self._deleted = False

    def _act(self, act: Callable[[], None]) -> None:
        """Somebody acts, and the controller comes to rest; a slow one acts on what was there before."""
        self._world.age()
        before = set(self._world.vmis)
        if self._slow:
            self._runner.run(self._world.overtake(self._client, act))
        else:
            act()
            if self._paused or self._deleted:
                before = set(self._world.vmis)
            self._settle()
            if self._paused or self._deleted:
                assert set(self._world.vmis) == before

    def _one_of(self, names: list[str], pick: int) -> str:
        return sorted(names)[pick % len(names)]

    @initialize(replicas=REPLICAS)
    def as_far_as(self, replicas: int) -> None:
        """The beginning of an ordinary life."""
        self._act(lambda: self._world.scale(replicas))

    @precondition(lambda self: not self._deleted)
    @rule(replicas=REPLICAS)
    def user_scales(self, replicas: int) -> None:
        self._act(lambda: self._world.scale(replicas))

    @precondition(lambda self: not self._deleted and not self._slow)
    @rule()
    def user_pauses_or_resumes(self) -> None:
        self._paused = not self._paused
        self._act(lambda: self._world.pause(self._paused))

    @precondition(lambda self: bool(self._world.active))
    @rule(phase=st.sampled_from(["Scheduling", "Running", "Succeeded", "Failed"]), pick=PICK)
    def guest_is(self, phase: str, pick: int) -> None:
        name = self._one_of(list(self._world.active), pick)
        self._act(lambda: self._world.report(name, phase))

    @precondition(lambda self: bool(self._world.active))
    @rule(pick=PICK)
    def node_is_drained(self, pick: int) -> None:
        name = self._one_of(list(self._world.active), pick)
        self._act(lambda: self._world.terminate_pod(name))

    @precondition(lambda self: bool(self._world.owned))
    @rule(pick=PICK)
    def user_deletes_an_instance(self, pick: int) -> None:
        name = self._one_of(list(self._world.owned), pick)
        self._act(lambda: self._world.delete_vmi(name))

    @precondition(lambda self: bool(self._going()))
    @rule(pick=PICK)
    def the_pod_is_gone(self, pick: int) -> None:
        name = self._one_of(self._going(), pick)
        self._act(lambda: self._world.finish_deletion(name))

    def _going(self) -> list[str]:
        return [name for name, body in self._world.vmis.items() if body["metadata"].get("deletionTimestamp")]

    @rule()
    def time_passes(self) -> None:
        self._act(self._world.time_passes)

    @precondition(lambda self: bool(self._world.owned) and not self._paused)
    @rule(pick=PICK)
    def user_relabels(self, pick: int) -> None:
        name = self._one_of(list(self._world.owned), pick)
        self._act(lambda: self._world.label(name, "db"))

    @precondition(lambda self: "orphan" not in self._world.vmis and not self._paused)
    @rule()
    def user_creates_an_orphan(self) -> None:
        self._act(lambda: self._world.add_orphan("orphan"))

    @precondition(lambda self: not self._deleted)
    @rule()
    def user_deletes(self) -> None:
        self._deleted = True
        self._act(self._world.delete)

    def _rests(self) -> bool:
        return not (self._slow or self._paused or self._deleted)

    @invariant()
    def there_are_as_many_as_wanted_and_those_that_wait_for_a_replacement(self) -> None:
        if self._rests():
            ended = [body for body in self._world.owned.values() if phase_of(body) in FINAL]
            assert len(self._world.active) + len(ended) == self._world.wanted
            assert not ended or self._world.condition("ReplicaFailure").get("reason") == "CrashLoopBackOff"

    @invariant()
    def the_status_counts_them(self) -> None:
        if not self._slow and not self._deleted:
            active = self._world.active.values()
            terminating = [body for body in active if _ready(body).get("reason") == "PodTerminating"]
            ready = [body for body in active if _ready(body).get("status") == "True"]
            counted = self._world.status.get("replicas", 0), self._world.status.get("readyReplicas", 0)
            assert counted == (len(active) - len(terminating), len(ready))

    @invariant()
    def what_it_does_not_select_is_left_alone(self) -> None:
        assert "deletionTimestamp" not in self._world.vmis["stranger"]["metadata"]
        assert not self._world.vmis["stranger"]["metadata"].get("ownerReferences")
        if self._rests():
            assert all(body["metadata"]["labels"] == {"app": "web"} for body in self._world.owned.values())

    @invariant()
    def the_condition_says_whether_it_is_paused(self) -> None:
        if not self._slow and not self._deleted:
            assert bool(self._world.condition("ReplicaPaused")) is self._paused


def _ready(body: dict[str, object]) -> dict[str, str]:
    conditions = body.get("status", {}).get("conditions", [])  # type: ignore[attr-defined]
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


TestOneReplicaSet = OneReplicaSet.TestCase
TestOneReplicaSet.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)

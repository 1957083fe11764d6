"""Whatever happens to a VirtualMachineInstance, the controller converges and keeps its guarantees.

After each thing that anybody does the controller works until a pass writes nothing. The world is world.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.unit.controller.at_rest import ControllerAtRest
from tests.unit.controller.world import LONG_AGO, World

pytestmark = pytest.mark.exhaustive

FINAL = ("Succeeded", "Failed")
OURS = "kubevirt.io/foregroundDeleteVirtualMachine"
NODES = st.sampled_from(["node1", "node2"])
Predicate = Callable[[Any], bool]


def unbound(pod: Any) -> bool:
    return not pod["spec"].get("nodeName") and not ended(pod)


def bound(pod: Any) -> bool:
    return bool(pod["spec"].get("nodeName")) and not ended(pod)


def ended(pod: Any) -> bool:
    return pod.get("status", {}).get("phase") in FINAL


def there(_: Any) -> bool:
    return True


def stays(pod: Any) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def finished(pod: Any) -> bool:
    return ended(pod) or not stays(pod)


def fresh(pod: Any) -> bool:
    return "status" not in pod


def begun(pod: Any) -> bool:
    return bool(pod.get("status", {}).get("containerStatuses"))


def young(pod: Any) -> bool:
    return bool(pod["metadata"]["creationTimestamp"] != LONG_AGO)


def ours(pod: Any) -> bool:
    return stays(pod) and "ownerReferences" in pod["metadata"]


def with_pod(*fits: Predicate) -> Callable[[Any], Any]:
    """A rule about a launcher pod that `fits`; it applies only while there is one."""
    return precondition(lambda machine: machine.pod(*fits) is not None)


class OneGuest(ControllerAtRest[World]):
    """A VirtualMachineInstance and whoever acts on it."""

    def __init__(self) -> None:
        super().__init__(World)
        self._ran: set[str] = set()  # UIDs of pods in which a guest may have run
        self._final = ""
        self._foreign: set[str] = set()  # UIDs of pods that the controller never made
        self._label = ""
        self._held = False
        self._deleted = False

    def _settle(self) -> None:
        if self._world.vmi is None:
            for pod in self._world.pods:  # the garbage collector
                if pod["metadata"].get("ownerReferences"):
                    self._world.remove(pod)
        super()._settle()
        if self._alive() and self._world.status.get("phase") in FINAL:
            self._final = self._final or self._world.status["phase"]

    def _alive(self) -> bool:
        return self._world.vmi is not None

    def pod(self, *fits: Predicate) -> Any:
        """The pod in question."""
        return next((pod for pod in self._world.pods if all(fit(pod) for fit in fits)), None)

    @initialize(stage=st.sampled_from(["new", "bound", "runs", "reported"]), slow=st.booleans())
    def as_far_as(self, stage: str, slow: bool) -> None:
        """The beginning of an ordinary life, of which most examples would not see the end otherwise."""
        if stage != "new":
            self.scheduled("node1")
        if stage in ("runs", "reported"):
            self.pod_runs(ready=True)
        if stage == "reported":
            self.handler_reports("Running")
        self._slow = slow

    @with_pod(unbound, stays)
    @rule(node=NODES)
    def scheduled(self, node: str) -> None:
        pod = self.pod(unbound, stays)
        self._act(lambda: self._world.bind(pod, node))

    @with_pod(unbound, stays)
    @rule()
    def unschedulable(self) -> None:
        pod = self.pod(unbound, stays)
        self._act(lambda: self._world.cannot_schedule(pod))

    @with_pod(bound)
    @rule(ready=st.booleans())
    def pod_runs(self, ready: bool) -> None:
        pod = self.pod(bound)
        if self._alive() and pod["metadata"]["uid"] in self._world.status.get("activePods", {}):
            self._ran.add(pod["metadata"]["uid"])
        self._act(lambda: self._world.run(pod, ready))

    @with_pod(bound, fresh)
    @rule()
    def image_is_missing(self) -> None:
        pod = self.pod(bound, fresh)
        self._act(lambda: self._world.cannot_pull(pod))

    @with_pod(bound, fresh)
    @rule()
    def pod_is_rejected(self) -> None:
        pod = self.pod(bound, fresh)
        self._act(lambda: self._world.reject(pod))

    @with_pod(bound, begun)
    @rule(exit_code=st.sampled_from([0, 137]))
    def pod_ends(self, exit_code: int) -> None:
        pod = self.pod(bound, begun)
        self._act(lambda: self._world.end(pod, exit_code))

    @with_pod(young)
    @rule()
    def time_passes(self) -> None:
        pod = self.pod(young)
        self._act(lambda: self._world.age(pod))

    @with_pod(stays)
    @rule()
    def pod_is_deleted(self) -> None:
        pod = self.pod(stays)
        self._foreign.discard(pod["metadata"]["uid"])
        self._act(lambda: self._world.evict(pod))

    @with_pod(finished)
    @rule()
    def pod_is_gone(self) -> None:
        pod = self.pod(finished)
        self._act(lambda: self._world.remove(pod))

    @with_pod(there)
    @rule()
    def pod_vanishes(self) -> None:
        pod = self.pod(there)
        self._act(lambda: self._world.remove(pod))

    @with_pod(ours)
    @rule()
    def pod_is_replaced(self) -> None:
        pod = self.pod(ours)

        def replace() -> None:
            handed_over = self._alive() and self._world.status.get("activePods")
            made = self._world.replace(pod)
            if handed_over:
                self._foreign.add(made)

        self._act(replace)

    @with_pod(ours)
    @rule()
    def name_is_taken(self) -> None:
        pod = self.pod(ours)
        self._act(lambda: self._foreign.add(self._world.occupy(pod)))

    @precondition(lambda self: self._handled() is not None)
    @rule(phase=st.sampled_from(["Running", *FINAL]))
    def handler_reports(self, phase: str) -> None:
        pod, current = self._handled(), self._world.status.get("phase")
        if current in FINAL or (phase == "Running" and (self._deleted or current not in ("Scheduling", "Scheduled"))):
            return
        self._ran.add(pod["metadata"]["uid"])
        self._act(lambda: self._world.report(phase))

    def _handled(self) -> Any:
        """The pod that was handed over to a handler, and that may run."""
        if not self._alive():
            return None
        active = self._world.status.get("activePods", {})
        return self.pod(bound, lambda pod: pod["metadata"]["uid"] in active)

    @precondition(lambda self: self._alive())
    @rule(value=st.sampled_from(["a", "b"]))
    def user_labels(self, value: str) -> None:
        self._label = value
        self._act(lambda: self._world.label(value))

    @precondition(lambda self: self._alive() and not self._held and not self._deleted)
    @rule()
    def backup_holds(self) -> None:
        self._held = True
        self._act(self._world.hold)

    @precondition(lambda self: self._alive() and self._held)
    @rule()
    def backup_releases(self) -> None:
        self._held = False
        self._act(self._world.release)

    @precondition(lambda self: self._alive() and not self._deleted)
    @rule()
    def user_deletes(self) -> None:
        self._deleted = True
        self._act(self._world.delete)

    @rule(node=NODES)
    def node_falls_silent(self, node: str) -> None:
        self._world.come_back(node)
        self._act(lambda: self._world.fall_silent(node))

    @rule(node=NODES)
    def node_comes_back(self, node: str) -> None:
        self._act(lambda: self._world.come_back(node))

    @rule(node=NODES)
    def node_is_deleted(self, node: str) -> None:
        self._act(lambda: self._world.take_away(node))

    @invariant()
    def a_guest_runs_in_one_pod_only(self) -> None:
        if self._alive() and self._ran:
            assert self._world.status.get("activePods", {}).keys() <= self._ran
        assert len(self._ran) <= 1

    @invariant()
    def an_end_is_final(self) -> None:
        if self._alive() and self._final:
            assert self._world.status["phase"] == self._final

    @invariant()
    def what_others_wrote_stays(self) -> None:
        if self._alive():
            labels = self._world.vmi["metadata"].get("labels", {})
            assert labels.get("user", "") == self._label
            assert ("backup.example/hold" in self._world.finalizers) == self._held

    @invariant()
    def a_handed_over_guest_holds_its_object_until_its_pods_are_gone(self) -> None:
        if not self._alive():
            return
        active = self._world.status.get("activePods", {})
        if any(pod["metadata"]["uid"] in active for pod in self._world.pods):
            assert OURS in self._world.finalizers

    @invariant()
    def pods_of_others_are_left_alone(self) -> None:
        if self._alive() and not self._deleted:
            for pod in self._world.pods:
                assert pod["metadata"]["uid"] not in self._foreign or "deletionTimestamp" not in pod["metadata"]

    @invariant()
    def a_deleted_guest_goes_when_its_pods_have_gone(self) -> None:
        if not self._slow and self._alive() and self._deleted and not self._held:
            assert [pod for pod in self._world.pods if pod["metadata"].get("ownerReferences")]

    @invariant()
    def a_guest_that_ran_has_ended_before_its_object_is_gone(self) -> None:
        if not self._alive() and self._ran:
            assert self._world.last_status["phase"] in FINAL

    @invariant()
    def a_guest_that_waits_for_its_pod_s_name_says_so(self) -> None:
        taken = self.pod(lambda pod: pod["metadata"]["uid"] in self._foreign and not pod["metadata"].get("labels"))
        if self._slow or taken is None or not self._alive() or self._deleted or self._world.status.get("activePods"):
            return
        if self._world.status.get("phase") not in FINAL:
            reported = [c for c in self._world.status["conditions"] if c.get("reason") == "FailedCreate"]
            assert reported and taken["metadata"]["uid"] in reported[0]["message"]


TestOneGuest = OneGuest.TestCase
TestOneGuest.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

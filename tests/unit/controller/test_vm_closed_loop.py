"""Whatever happens to a VirtualMachine, its controller comes to rest and keeps its promises.

After each thing that anybody does the controller works until a pass writes nothing. The world is vm_world.py's.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from virt_api.errors import Conflict
from virt_core.kube.resource import KUBEVIRTS
from virt_core.testing.api_server import FakeApiServer

from tests.unit.controller.at_rest import ControllerAtRest
from tests.unit.controller.vm_world import VMI_FINALIZER, VmWorld

pytestmark = pytest.mark.exhaustive

STRATEGIES = st.sampled_from(["Always", "RerunOnFailure", "Manual", "Once", "Halted"])
FINAL = ("Succeeded", "Failed")


def _world(server: FakeApiServer) -> VmWorld:
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    return VmWorld(server, "Halted", {"spec": {"domain": {"devices": {}, "firmware": {"uuid": "f"}}}})


class OneVirtualMachine(ControllerAtRest[VmWorld]):
    """A VirtualMachine and whoever acts on it."""

    def __init__(self) -> None:
        super().__init__(_world)
        self._deleted = False

    def _is_live(self) -> bool:
        vmi = self._world.vmi
        return vmi is not None and vmi.get("status", {}).get("phase") not in FINAL

    @initialize(strategy=STRATEGIES, runs=st.booleans())
    def as_far_as(self, strategy: str, runs: bool) -> None:
        """The beginning of an ordinary life."""
        self._act(lambda: self._world.switch(strategy))
        if runs and self._is_live():
            self._act(lambda: self._world.report("Running"))

    @precondition(lambda self: self._world.vm is not None)
    @rule(strategy=STRATEGIES)
    def user_switches(self, strategy: str) -> None:
        self._act(lambda: self._world.switch(strategy))

    @precondition(lambda self: self._world.vm is not None)
    @rule(memory=st.sampled_from(["64Mi", "128Mi"]))
    def user_edits(self, memory: str) -> None:
        self._act(lambda: self._world.edit(memory))

    @precondition(lambda self: self._world.vm is not None)
    @rule(name=st.sampled_from(["small", "large", None]))
    def user_chooses(self, name: str | None) -> None:
        self._act(lambda: self._world.choose(instancetype=name))

    @rule(name=st.sampled_from(["small", "large"]), cpus=st.sampled_from([1, 2]))
    def administrator_sizes(self, name: str, cpus: int) -> None:
        self._act(lambda: self._world.size(name, cpus))

    @precondition(lambda self: self._world.vm is not None)
    @rule(verb=st.sampled_from(["start", "stop", "restart"]))
    def user_requests(self, verb: str) -> None:
        def request() -> None:
            with suppress(Conflict):
                self._world.request(verb)

        self._act(request)

    @precondition(lambda self: self._is_live())
    @rule(phase=st.sampled_from(["Scheduling", "Running", "Succeeded", "Failed"]))
    def guest_is(self, phase: str) -> None:
        self._act(lambda: self._world.report(phase))

    @precondition(lambda self: self._world.vmi is not None and not self._world.vmi["metadata"].get("deletionTimestamp"))
    @rule()
    def user_deletes_the_instance(self) -> None:
        self._act(self._world.delete_vmi)

    @precondition(lambda self: self._world.vmi is not None and self._world.vmi["metadata"].get("deletionTimestamp"))
    @rule()
    def the_pod_is_gone(self) -> None:
        self._act(self._world.finish_deletion)

    @precondition(lambda self: self._world.vm is not None and "startFailure" in self._world.status)
    @rule()
    def time_passes(self) -> None:
        self._act(self._world.backoff_is_over)

    @precondition(lambda self: self._world.vm is not None and not self._deleted)
    @rule()
    def user_deletes(self) -> None:
        self._deleted = True
        self._act(self._world.delete)

    @invariant()
    def a_halted_one_has_no_guest_that_stays(self) -> None:
        if self._slow or self._world.vm is None or self._world.strategy != "Halted":
            return
        assert self._world.vmi is None or self._world.vmi["metadata"].get("deletionTimestamp")

    @invariant()
    def one_that_runs_always_has_a_guest_or_a_reason(self) -> None:
        if self._slow or self._world.vm is None or self._deleted or self._world.strategy != "Always":
            return
        reason = "startFailure" in self._world.status or self._world.condition("Failure")
        assert self._world.vmi is not None or reason

    @invariant()
    def an_instance_type_is_kept_or_missed(self) -> None:
        if self._slow or self._world.vm is None or self._deleted:
            return
        chosen = self._world.vm["spec"].get("instancetype", {}).get("name")
        kept = self._world.status.get("instancetypeRef", {}).get("name")
        assert kept == chosen or self._world.condition("Failure")

    @invariant()
    def requests_are_done_or_wait_for_a_guest_to_end(self) -> None:
        if self._slow or self._world.vm is None or not self._world.status.get("stateChangeRequests"):
            return
        vmi = self._world.vmi
        ending = vmi is not None and bool(vmi["metadata"].get("deletionTimestamp"))
        assert (
            ending
            or self._deleted
            or self._world.status.get("startFailure")
            or self._world.condition("Failure")
            or self._world.strategy
            in (
                "Halted",
                "Once",
                "Manual",
            )
        )

    @invariant()
    def a_finished_instance_is_not_held(self) -> None:
        vmi = self._world.vmi
        if self._slow or vmi is None or vmi.get("status", {}).get("phase") not in FINAL:
            return
        finalizers = vmi["metadata"].get("finalizers", [])
        released_later = self._deleted and VMI_FINALIZER in finalizers  # with its own finalizer
        assert "kubevirt.io/virtualMachineControllerFinalize" not in finalizers or released_later

    @invariant()
    def the_status_says_whether_there_is_a_guest(self) -> None:
        if not self._slow and self._world.vm is not None:
            assert self._world.status.get("created", False) is (self._world.vmi is not None)

    @invariant()
    def a_deleted_one_goes_with_its_guest(self) -> None:
        if not self._slow and self._deleted and self._world.vmi is None:
            assert self._world.vm is None


TestOneVirtualMachine = OneVirtualMachine.TestCase
TestOneVirtualMachine.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
)

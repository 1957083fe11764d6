"""Whatever dies during migrations, a guest runs in one pod at most, and its object says where, or that it has ended.

Both controllers are real and new at each pass; kubelets, launchers and handlers are played. Each of these acts when
hypothesis says so, or never: a handler that is never called is dead.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from virt_core.kube.resource import (
    KUBEVIRTS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
)
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place

from tests.unit.controller.at_rest import ControllerAtRest
from tests.unit.controller.migration_world import VMI, MigrationWorld

EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
"""Histories; the same ones each time, unless another number is wanted."""

pytestmark = pytest.mark.exhaustive

FINAL = ("Succeeded", "Failed")
LONG_AGO = "2026-01-01T00:00:01Z"
RUNS, ARRIVING, ARRIVED, LEFT, DEAD = "runs", "arriving", "arrived", "left", "dead"


def make(server: FakeApiServer) -> MigrationWorld:
    server.put(KUBEVIRTS.path("kubevirt"), {"metadata": {"name": "kubevirt"}, "spec": {}})
    world = MigrationWorld(server)
    server.put(NODES.path(), {"metadata": {"name": "node3"}})
    return world


class MovingGuest(ControllerAtRest[MigrationWorld]):
    """A guest, its launchers, and who acts on them."""

    def __init__(self) -> None:
        self._guest = {"source": RUNS}  # what is in each pod in truth, by UID
        self._requests = 1
        self._deleted = False
        self._node_lost = False
        super().__init__(make)

    # --- what there is ---

    def _settle(self) -> None:
        if self._world.vmi is None:
            for name in self._world.pods:  # the garbage collector
                self._world.server.remove(PODS.path("ns", name))
        super()._settle()

    def _pods(self) -> list[Any]:
        return list(self._world.pods.values())

    def _pod(self, uid: str) -> Any:
        return next((pod for pod in self._pods() if pod["metadata"]["uid"] == uid), None)

    def _alive(self, uid: str) -> bool:
        pod = self._pod(uid)
        return pod is not None and pod["status"].get("phase") not in FINAL and self._guest.get(uid, DEAD) != DEAD

    @property
    def _status(self) -> Any:
        return self._world.vmi["status"] if self._world.vmi is not None else {}

    @property
    def _state(self) -> Any:
        return self._status.get("migrationState", {})

    @property
    def _sides(self) -> tuple[str, str]:
        return self._state.get("sourcePodUID", ""), self._state.get("targetPodUID", "")

    def _over(self) -> bool:
        return self._status.get("phase") in FINAL or not self._status

    def _nodes(self) -> list[str]:
        found = self._world.server.store.select(Place.parse(NODES.path()), lambda _: True)
        return [node["metadata"]["name"] for node in found]

    def _patch(self, status: dict[str, Any]) -> None:
        self._act(partial(self._write, VIRTUAL_MACHINE_INSTANCES.path(*VMI), {"status": status}))

    def _write(self, path: str, body: dict[str, Any]) -> None:
        self._world.server.patch(path, body)

    def _delete(self, path: str) -> None:
        self._world.server.store.delete(Place.parse(path))

    def _remove(self, path: str) -> None:
        self._world.server.remove(path)

    def _report(self, **state: Any) -> None:
        self._patch({"migrationState": state})

    def _report_failure(self, reason: str) -> None:
        self._report(failed=True, completed=True, failureReason=reason, endTimestamp=LONG_AGO)

    def _ends(self, uid: str, phase: str) -> None:
        self._guest[uid] = DEAD
        name = self._pod(uid)["metadata"]["name"]
        self._act(lambda: self._world.end_pod(name, phase))

    @initialize(steps=st.integers(0, 9), fails=st.booleans(), slow=st.booleans())
    def as_far_as(self, steps: int, fails: bool, slow: bool) -> None:
        """The beginning of an ordinary migration, of which most examples would not see the end otherwise."""
        order = (self.target_pod_starts, self.source_handler, self.target_handler, self.source_handler)
        for act in (*order, self.copy_completes, self.source_commits, self.target_handler, self.source_handler)[:steps]:
            act()
        if fails:
            self.copy_fails(again=True)
        event(f"begins with {sorted(self._guest.values())}, {self._world.phase}")
        self._slow = slow

    # --- users ---

    @precondition(lambda self: not self._over() and not self._unfinished())
    @rule()
    def user_migrates(self) -> None:
        name = f"move{self._requests}"
        self._requests += 1
        self._act(lambda: self._world.add_job(name))

    def _unfinished(self) -> list[Any]:
        return [job for job in self._world.jobs if job["status"].get("phase") not in FINAL]

    @precondition(lambda self: self._unfinished())
    @rule()
    def user_cancels(self) -> None:
        name = self._unfinished()[0]["metadata"]["name"]
        self._act(partial(self._delete, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns", name)))

    @precondition(lambda self: self._status and not self._deleted)
    @rule(really=st.sampled_from([False, False, True]))
    def user_deletes(self, really: bool) -> None:
        if really:
            self._deleted = True
            self._act(partial(self._delete, VIRTUAL_MACHINE_INSTANCES.path(*VMI)))

    # --- kubelets ---

    @rule(reported=st.booleans())
    def target_pod_starts(self, reported: bool = True) -> None:
        """`reported`: by the kubelet, too, which may be later."""
        for pod in self._pods():
            uid, meta = pod["metadata"]["uid"], pod["metadata"]
            taken = {other["spec"].get("nodeName") for other in self._pods() if self._alive(other["metadata"]["uid"])}
            free = [node for node in self._nodes() if node not in taken]
            if not pod["spec"].get("nodeName") and "deletionTimestamp" not in meta and free:
                self._guest[uid] = ARRIVING
                self._bind(meta["name"], free[0], "Running" if reported else "Pending")
            elif reported and pod["status"].get("phase") == "Pending" and self._alive(uid):
                self._bind(meta["name"], pod["spec"]["nodeName"], "Running")

    def _bind(self, name: str, node: str, phase: str) -> None:
        running = [{"name": "compute", "state": {"running": {"startedAt": LONG_AGO}}}] if phase == "Running" else []
        status = {"phase": phase, "conditions": [], "containerStatuses": running}
        self._act(partial(self._write, PODS.path("ns", name), {"spec": {"nodeName": node}, "status": status}))

    @precondition(lambda self: self._unbound())
    @rule()
    def target_pod_is_rejected(self) -> None:
        """It is old enough that another one may be created at once."""
        pod = self._unbound()[0]
        self._guest[pod["metadata"]["uid"]] = DEAD

        def reject() -> None:
            self._world.reject(pod, created=LONG_AGO)

        self._act(reject)

    def _unbound(self) -> list[Any]:
        free = [pod for pod in self._pods() if not pod["spec"].get("nodeName")]
        return [pod for pod in free if "deletionTimestamp" not in pod["metadata"]]

    @rule()
    def deleted_pods_end(self) -> None:
        for pod in self._pods():
            if "deletionTimestamp" in pod["metadata"]:
                if self._alive(pod["metadata"]["uid"]):
                    self._ends(pod["metadata"]["uid"], "Failed")
                name = pod["metadata"]["name"]
                if name in self._world.pods:
                    self._act(partial(self._remove, PODS.path("ns", name)))

    @rule(number=st.integers(0, 1), how=st.sampled_from(["crash", "delete", "vanish"]))
    def pod_dies(self, number: int, how: str) -> None:
        alive = [uid for uid in self._guest if self._alive(uid)]
        if number >= len(alive):
            return
        uid = alive[number]
        name = self._pod(uid)["metadata"]["name"]
        if how == "crash":
            self._ends(uid, "Failed")
        elif how == "delete":
            self._act(partial(self._delete, PODS.path("ns", name)))
        else:
            self._guest[uid] = DEAD
            self._act(lambda: self._world.server.remove(PODS.path("ns", name)))

    @precondition(lambda self: not self._node_lost)
    @rule(node=st.sampled_from(["node1", "node2", "node3"]), really=st.sampled_from([False, False, True]))
    def node_is_lost(self, node: str, really: bool) -> None:
        if not really:
            return
        self._node_lost = True
        for pod in self._pods():
            if pod["spec"].get("nodeName") == node:
                self._guest[pod["metadata"]["uid"]] = DEAD
        self._act(lambda: self._world.server.remove(NODES.path(None, node)))

    # --- launchers ---

    @rule()
    def copy_completes(self) -> None:
        source, target = self._sides
        started = self._state.get("startTimestamp") and not self._state.get("completed")
        if started and self._is(source, RUNS) and self._is(target, ARRIVING):
            self._guest |= {source: LEFT, target: ARRIVED}

    @rule()
    def source_commits(self) -> None:
        source, target = self._sides
        if self._is(source, LEFT) and self._is(target, ARRIVED):
            self._guest[target] = RUNS

    def _is(self, uid: str, what: str) -> bool:
        return self._alive(uid) and self._guest[uid] == what

    # --- handlers ---

    @rule()
    def source_handler(self) -> None:
        source, target = self._sides
        if not self._alive(source) or not self._status:
            return
        state, runs = self._state, self._guest[source] == RUNS
        target_gone = target not in self._status["activePods"]
        if state.get("completed"):
            if not state.get("failed") and not runs:
                self._ends(source, "Succeeded")
            elif not runs and target_gone and not self._over():
                self._patch({"phase": "Failed"})
        elif self._over():
            return
        elif not runs and not target_gone and not state.get("sourceSwitched"):
            self._report(sourceSwitched=True)
        elif runs and (state.get("abortRequested") or target_gone):
            self._report_failure("aborted")
        elif not runs and target_gone:
            self._report_failure("the target ended")
        elif not state.get("sourceCertificateAuthority"):
            self._report(sourceCertificateAuthority="PEM")
        elif state.get("targetNodeAddress") and not state.get("startTimestamp"):
            self._report(startTimestamp=LONG_AGO)

    @rule(again=st.booleans())
    def copy_fails(self, again: bool) -> None:
        source, _ = self._sides
        if self._is(source, RUNS) and self._state.get("startTimestamp") and not self._state.get("completed"):
            self._report_failure("the link is cut")
            if again and not self._over() and not self._unfinished():
                self.user_migrates()

    @rule()
    def target_handler(self) -> None:
        source, target = self._sides
        if not self._alive(target) or not self._status:
            return
        state, guest = self._state, self._guest[target]
        if guest == RUNS:
            if not state.get("completed") and not self._over():
                done = {"completed": True, "endTimestamp": LONG_AGO, "startTimestamp": LONG_AGO}
                node = self._pod(target)["spec"]["nodeName"]
                self._patch({"nodeName": node, "migrationState": done})
        elif self._over() or state.get("completed"):
            if guest == ARRIVING:
                self._ends(target, "Failed")
        elif source not in self._status["activePods"]:
            assert self._guest[source] == DEAD, "the source is counted out, and lives"
            if guest == ARRIVED and state.get("sourceSwitched"):
                self._guest[target] = RUNS
                return
            self._ends(target, "Succeeded")
            if self._status:
                self._report_failure("the source had not handed over")
        elif state.get("sourceCertificateAuthority") and not state.get("targetNodeAddress"):
            self._report(targetNodeAddress="10.0.0.2")

    @rule()
    def everybody_does_their_work(self) -> None:
        """Then the guest is where its object says, or has ended, and nothing is left of the others."""
        self._slow = False
        for _ in range(20):
            before = self._world.server.store.version, dict(self._guest)
            self._act(lambda: None)
            for act in (self.target_pod_starts, self.deleted_pods_end, self.source_handler, self.target_handler):
                act()
            self.copy_completes()
            self.source_commits()
            if (self._world.server.store.version, self._guest) == before:
                break
        else:
            raise AssertionError("they do not come to an end")
        assert not self._unfinished()
        where = [uid for uid, guest in self._guest.items() if guest == RUNS and self._alive(uid)]
        if self._deleted:
            assert self._world.vmi is None
        elif where:
            pod = self._pod(where[0])
            labels = self._world.vmi["metadata"]["labels"]
            assert self._status["phase"] == "Running"
            assert self._status["activePods"] == {where[0]: pod["spec"]["nodeName"]}
            assert self._status["nodeName"] == labels["kubevirt.io/nodeName"] == pod["spec"]["nodeName"]
            assert "kubevirt.io/migrationTargetNodeName" not in labels
            assert [uid for uid in self._guest if self._alive(uid)] == where
        else:
            assert self._status["phase"] in FINAL

    # --- what always holds ---

    @invariant()
    def there_are_two_pods_at_most(self) -> None:
        alive = [pod for pod in self._pods() if pod.get("status", {}).get("phase") not in FINAL]
        assert len(alive) <= 2

    @invariant()
    def a_guest_runs_in_one_pod_at_most(self) -> None:
        running = [uid for uid, guest in self._guest.items() if guest == RUNS]
        assert len(running) <= 1
        if running and self._alive(running[0]) and self._status:
            assert running[0] in self._status["activePods"]

    @invariant()
    def a_guest_that_may_run_has_not_ended(self) -> None:
        if self._over() and self._status:
            assert not [uid for uid in self._guest if self._alive(uid) and self._guest[uid] in (RUNS, ARRIVED)]


TestMovingGuest = MovingGuest.TestCase
TestMovingGuest.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    derandomize=EXAMPLES == 40,
    suppress_health_check=[HealthCheck.too_slow],
)

"""virt-controller's leader is killed while it scales replica sets: nothing is created twice, nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from tests.e2e import audit
from tests.e2e.cluster import NAMESPACE, get, kubectl, process, until
from tests.e2e.replica_sets import existing, has, instances, replica_set

REPLICAS = 40
SETS = ("killed-a", "killed-b")


def kill_leader() -> None:
    """kill -9 of the process that holds the Lease, as soon as it has one."""

    def killed() -> bool:
        holder = get("lease", "virt-controller", "-n", NAMESPACE)["spec"].get("holderIdentity", "")
        pods = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-controller")["items"]
        uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}
        victim = process(uids[holder], "virt_controller") if holder in uids else None
        if victim is not None:
            victim.kill()
        return victim is not None

    until(killed, "a leader to kill", every=0.01)


@pytest.fixture
def healthy_again() -> Iterator[None]:
    """The kubelet restarts a container that is killed again only after a while."""
    yield
    kubectl("rollout", "status", "deployment/virt-controller", "-n", NAMESPACE, "--timeout=90s")


def guests_of(sets: list[str]) -> set[str]:
    """Names of the guests of all sets."""
    return {body["metadata"]["name"] for name in sets for body in instances(name).values()}


def answered(verb: str, code: int, since: datetime) -> list[str]:
    """Names in the requests for guests of the sets that the API server answered so. Those under way when their caller
    was killed are missing: they may be carried out, but are logged with 504 or not at all."""
    ours = [request for request in audit.requests(since) if request.resource == "virtualmachineinstances"]
    ours = [request for request in ours if request.name.startswith(SETS)]  # not the operator's dry runs
    return [request.name for request in ours if (request.verb, request.code) == (verb, code)]


@pytest.mark.chaos
@pytest.mark.usefixtures("healthy_again")
def test_a_killed_leader_leaves_exactly_as_many_as_wanted() -> None:
    began = datetime.now(UTC)
    existed: list[set[str]] = []
    with ExitStack() as stack:
        names = [stack.enter_context(existing(replica_set(name, 0))) for name in SETS]
        for replicas in (REPLICAS, 3):
            for name in names:
                kubectl("scale", f"vmirs/{name}", f"--replicas={replicas}")
            if replicas == REPLICAS:  # deletions are too fast to wait for the first
                until(lambda: any(map(instances, names)), "the first creation", every=0.01)
            kill_leader()
            print(f"killed on the way to {replicas}, at about {[len(instances(name)) for name in names]}")
            for name in names:
                has(name, replicas, seconds=90)
            existed.append(guests_of(names))
        most, rest = existed
        assert (len(most), len(rest)) == (REPLICAS * len(names), 3 * len(names))
        for answers, wanted in ((answered("create", 201, began), most), (answered("delete", 200, began), most - rest)):
            assert len(answers) == len(set(answers)), "nothing is created or deleted twice"
            assert set(answers) <= wanted, "nothing else is created or deleted"

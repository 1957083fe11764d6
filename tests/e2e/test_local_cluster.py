"""The local cluster itself, for real: needs root and brings the cluster up. `make test-all`.

Leaves the cluster up. Kills a node and some programs: do not run it beside other tests on the same cluster.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from localcluster import api_client, node, processes, up, waiting
from localcluster.settings import Cluster

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait
from tests.e2e.guests import manifest, running

pytestmark = [
    pytest.mark.skipif(
        not Cluster.load().state.exists(), reason="another cluster than this machine's own is in use (KUBECONFIG)"
    ),
    pytest.mark.last(3),  # an API server that has just started forbids what it has not read the roles of
]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    argv = [sys.executable, "-m", "localcluster", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=1500, check=False)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    done = command("up")
    assert done.returncode == 0, done.stderr
    return Cluster.load()


def conditions(cluster: Cluster, name: str) -> dict[str, str]:
    """A node's conditions in the API server."""
    status = json.loads(api_client.get(cluster, f"/api/v1/nodes/{name}"))["status"]
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


def own_processes(cluster: Cluster) -> set[processes.Identity]:
    """The cluster's parts and what each node runs for itself; what its pods start and end meanwhile is their affair."""
    parts = {part: processes.alive(cluster, part) for part in up.parts(cluster)}
    pids = {living.pid for living in parts.values() if living is not None}
    assert len(pids) == len(parts), parts
    return {
        process for process in processes.marked(cluster) if process.pid in pids or _is_started_by(process.pid, pids)
    }


def _is_started_by(pid: int, parents: set[int]) -> bool:
    """And is not a pod's containerd-shim, which its node's first process takes over."""
    folder = processes.PROC / str(pid)
    try:
        parent, name = processes.parent((folder / "stat").read_text()), (folder / "comm").read_text().strip()
    except OSError:  # it has ended
        return False
    return parent in parents and name != "containerd-shim"


def test_up_on_a_healthy_cluster_changes_nothing(cluster: Cluster) -> None:
    before = own_processes(cluster)
    assert "the cluster is up" in command("up").stdout
    assert own_processes(cluster) == before


@pytest.mark.usefixtures("cluster")
def test_a_node_sees_only_itself() -> None:
    names = [node.exec(number, ["hostname"]).stdout.strip() for number in (1, 2)]
    assert names == ["node1", "node2"]
    first = node.exec(1, ["ps", "-e", "-o", "comm="]).stdout.split()
    assert first.count("containerd") == 1


@pytest.mark.slow
def test_dead_parts_are_started_again_and_living_ones_left_alone(cluster: Cluster) -> None:
    kept = {part: processes.alive(cluster, part) for part in ("kube-scheduler", "registry", "node1", "node2")}
    victims = [found for part in ("etcd", "coredns") if (found := processes.alive(cluster, part))]
    processes.kill(victims)
    assert command("status").returncode == 1
    assert command("up").returncode == 0
    assert command("status").returncode == 0
    assert {part: processes.alive(cluster, part) for part in kept} == kept


@pytest.mark.slow
@pytest.mark.parametrize(("dies", "stays"), [(1, 2), (2, 1)])
def test_a_dead_node_is_reported_within_20_seconds_and_comes_back(cluster: Cluster, dies: int, stays: int) -> None:
    def says(number: int, word: str) -> Callable[[], bool]:
        return lambda: conditions(cluster, f"node{number}")["Ready"] == word

    assert command("node", "kill", str(dies)).returncode == 0
    waiting.until("the word of its death", says(dies, "Unknown"), 20, cluster.log("kube-controller-manager"))
    assert says(stays, "True")()  # whichever dies, the other stays connected
    assert command("node", "start", str(dies)).returncode == 0
    waiting.until("the node", says(dies, "True"), 30, cluster.log(f"node{dies}-kubelet"))


@pytest.mark.slow
def test_up_after_a_crash_of_everything_brings_objects_and_suite_back(cluster: Cluster) -> None:
    uid = json.loads(api_client.get(cluster, "/api/v1/namespaces/default"))["metadata"]["uid"]
    assert command("kill").returncode == 0
    assert processes.marked(cluster) == []
    done = command("up")
    assert done.returncode == 0, done.stderr
    assert json.loads(api_client.get(cluster, "/api/v1/namespaces/default"))["metadata"]["uid"] == uid
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
    until(lambda: _handlers_ready() == len(cluster.node_names), "a handler on each node")
    until(_virt_api_answers, "virt-api, without whose admission no machine is made")
    with running(manifest("afterwards")) as (guest,):
        assert guest.phase == "Running"


def _virt_api_answers() -> bool:
    """Whether the API server reaches it: the addresses that it remembers may be of before the crash."""
    body = json.dumps(manifest("never-made"))
    return "never-made" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=body, check=False)


def _handlers_ready() -> int:
    status = get("-n", NAMESPACE, "daemonset", "virt-handler")["status"]
    return int(status.get("numberReady", 0))

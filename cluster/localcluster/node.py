"""Starts and kills a node and runs commands in it, from the host. Called by `up`, `node kill`, `node start` and
tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from localcluster import cgroups, host_network, node_files, pause, processes
from localcluster.progress import PartFailed, say
from localcluster.settings import HOST_ADDRESS, Cluster, Node

START_SECONDS = 30


def pid(cluster: Cluster, node: Node) -> int | None:
    """The host's PID of the node's PID 1; None if the node is dead."""
    found = processes.alive(cluster, node.name)
    return found.pid if found else None


def exec_argv(cluster: Cluster, number: int, argv: Sequence[str]) -> list[str]:
    """The command that runs argv in the node's mount, network, PID and hostname namespaces.

    Raises PartFailed if the node is dead.
    """
    node = cluster.node(number)
    inside = pid(cluster, node)
    if inside is None:
        raise PartFailed(node.name, "is dead", cluster.log(node.name))
    return ["nsenter", "-t", str(inside), "-m", "-n", "-p", "-u", "--", *argv]


def exec(  # noqa: A001  as `docker exec` and `kubectl exec` call it
    number: int, argv: Sequence[str], *, cluster: Cluster | None = None, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a node and return its output."""
    command = exec_argv(cluster or Cluster.load(), number, argv)
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=timeout)


def start(cluster: Cluster, node: Node, kube: Path) -> None:
    """Start the node if it is dead. Does not wait until its programs are ready."""
    if pid(cluster, node) is not None:
        return
    say(f"starting {node.name}")
    cgroups.remove(node)  # leftovers of the node's previous run
    cgroups.ensure(node)
    node_files.write(cluster, node)
    spec_path = cluster.node_folder(node) / "spec.json"
    spec_path.write_text(json.dumps(spec(cluster, node, kube), indent=1))
    log = cluster.log(node.name)
    with log.open("ab") as output:
        first = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("node_init.py")), str(spec_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,
            cwd="/",
            env=processes.environment(cluster),
        )
    assert first.stdin and first.stdout
    with first, first.stdin, first.stdout:
        line = first.stdout.readline()
        if not line.strip().isdigit():
            raise PartFailed(node.name, "its namespaces were not made", log)
        inside = int(line)
        processes.record(cluster, node.name, inside)
        host_network.connect(node, inside)
        first.stdin.write("connected\n")


def spec(cluster: Cluster, node: Node, kube: Path) -> dict[str, object]:
    """The input of node_init."""
    return {
        "name": node.name,
        "state": str(cluster.state),
        "folder": str(cluster.node_folder(node)),
        "logs": str(cluster.state / "log"),
        "address": node.address,
        "gateway": HOST_ADDRESS,
        "routes": [[other.pod_network, other.address] for other in cluster.nodes if other != node],
        "runtime_socket": node_files.CONTAINERD_SOCKET,
        "pause_archive": str(pause.ensure(cluster)),
        "commands": node_files.commands(cluster, node, str(kube)),
    }


def kill(cluster: Cluster, node: Node) -> None:
    """Kill PID 1 of the node's PID namespace, and with it all processes of the node."""
    found = processes.alive(cluster, node.name)
    if found:
        say(f"killing {node.name}")
        processes.kill([found])
    cluster.pid_file(node.name).unlink(missing_ok=True)

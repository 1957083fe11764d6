"""kubectl as a user runs it, and the processes of pods as seen by the node's root. For end-to-end tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from localcluster import node
from localcluster.settings import Cluster

from tests.e2e.kubectl_requests import Client
from tests.support.patience import PATIENCE
from tests.support.process_age import started

NAMESPACE = "kubevirt"
ROOT = Path(__file__).parents[2]


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True, deadline: float = 240) -> str:
    """Run kubectl; returns its standard output. Fails with its standard error as message."""
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=deadline, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}\n{done.stdout[-2000:]}")
    return done.stdout


@cache
def _client_of(kubeconfig: str) -> Client | None:
    return Client.of(json.loads(kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json")))


def _client() -> Client | None:
    return _client_of(os.environ["KUBECONFIG"])


def get(*arguments: str) -> Any:
    """An object or a list as JSON, by the arguments of ``kubectl get``."""
    client = _client()
    found = client.get(arguments) if client else None
    return json.loads(kubectl("get", *arguments, "-o", "json")) if found is None else found


def apply(*manifests: dict[str, Any]) -> None:
    """``kubectl apply`` of manifests."""
    client = _client()
    rest = [body for body in manifests if client is None or not client.create(body)]
    if rest:
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rest}))


def remove(kind: str, *names: str, namespace: str = "default", seconds: float = PATIENCE) -> None:
    """``kubectl delete --ignore-not-found --wait``."""
    client = _client()
    refused = [name for name in names if client is None or not client.delete(kind, name, namespace)]
    if refused:
        kubectl("-n", namespace, "delete", kind, *refused, "--ignore-not-found", f"--timeout={seconds:.0f}s")
    for name in names:
        until(lambda name=name: not _listed(kind, name, namespace), f"{kind} {name} to be gone", seconds)


def _listed(kind: str, name: str, namespace: str) -> list[dict[str, Any]]:
    """The object of that name, if there is one."""
    found: list[dict[str, Any]] = get(kind, "-n", namespace, "--field-selector", f"metadata.name={name}")["items"]
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE, every: float = 0.2) -> float:
    """Poll from outside, like a user; returns the seconds that it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"after {seconds:.0f} s still waiting for {what}")
        time.sleep(every)
    return time.monotonic() - started


def nodes() -> list[str]:
    """The names of two nodes; one twice where there is only one."""
    names = sorted(node["metadata"]["name"] for node in get("nodes")["items"])
    return [names[0], names[1 % len(names)]]


def wait(kind: str, name: str, condition: str, *, namespace: str = "default", seconds: float = PATIENCE) -> None:
    """``kubectl wait``; on a timeout fails with the output of ``kubectl describe``."""
    try:
        until(lambda: _meets(_listed(kind, name, namespace), condition), f"{condition} of {kind} {name}", seconds)
    except AssertionError as error:
        described = kubectl("-n", namespace, "describe", kind, name, check=False)
        pods = kubectl("get", "pods", "-A", "-o", "wide", check=False)
        raise AssertionError(f"{error}\n{described[-4000:]}\n{pods}") from None


def _meets(found: list[dict[str, Any]], condition: str) -> bool:
    """Whether the object meets a condition in the words of ``kubectl wait``: ``delete``, ``condition=TYPE[=STATUS]`` or
    ``jsonpath={.a.b}=VALUE``."""
    form, _, rest = condition.partition("=")
    if form == "delete":
        return not found
    if not found:
        return False
    what, _, value = rest.partition("=")
    if form == "condition":
        return str(condition_of(found[0], what).get("status", "")).lower() == (value or "true").lower()
    assert form == "jsonpath", condition
    field: Any = found[0]
    for key in re.split(r"(?<!\\)\.", what.strip("{}").strip(".")):
        field = field.get(key.replace("\\", "")) if isinstance(field, dict) else None
    return field is not None and (str(field).lower() if isinstance(field, bool) else str(field)) == value


def condition_of(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """A condition of an object; empty: it has none of that type."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def in_node(number: int, *argv: str) -> str:
    """The output of a command in a node of the local cluster. Fails with its standard error as message."""
    done = node.exec(number, list(argv), check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return str(done.stdout)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a container, seen from the machine that the local cluster runs on."""

    pid: int
    command: str

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)


def on_this_machine() -> bool:
    """Whether the cluster in use is this machine's."""
    return Path(os.environ["KUBECONFIG"]).resolve() == Cluster.load().kubeconfig.resolve()


def processes(pod_uid: str) -> list[Process]:
    """All processes in the pod's cgroup, its pause process left out, the oldest first."""
    if not on_this_machine():
        pytest.skip("the processes of this cluster's nodes are not on this machine")
    found: list[tuple[int, Process]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cgroup = (entry / "cgroup").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            age = started(int(entry.name))
        except OSError:  # it ended while we looked
            continue
        if f"pod{pod_uid}" in cgroup.replace("_", "-") and command and not command.endswith("pause"):
            found.append((age, Process(int(entry.name), command)))
    return [process for _, process in sorted(found, key=lambda pair: (pair[0], pair[1].pid))]


def process(pod_uid: str, pattern: str) -> Process | None:
    """The first process of the pod whose command line matches."""
    return next((p for p in processes(pod_uid) if re.search(pattern, p.command)), None)

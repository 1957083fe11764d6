"""Records all changes of the suite's pods and its KubeVirt object during a test, in order.

One watch each, by kubectl in the background; moments are those of arrival here.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.cluster import NAMESPACE, condition_of, get, kubectl, until

_PATHS = {
    "Pod": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "KubeVirt": f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/kubevirts",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch."""

    moment: float
    kind: str
    type: str
    """PRESENT when it began, ADDED, MODIFIED or DELETED."""
    body: Any

    @property
    def name(self) -> str:
        """The object's."""
        return str(self.body["metadata"]["name"])

    @property
    def component(self) -> str:
        """Of a pod, for example "virt-api"."""
        return str(self.body["metadata"].get("labels", {}).get("kubevirt.io", ""))

    @property
    def tag(self) -> str:
        """Of a pod's image."""
        return str(self.body["spec"]["containers"][0]["image"].rpartition(":")[2])

    @property
    def ready(self) -> bool:
        """Whether a pod is ready and stays."""
        is_ready = condition_of(self.body, "Ready").get("status") == "True"
        return is_ready and "deletionTimestamp" not in self.body["metadata"] and self.type != "DELETED"


@dataclass(slots=True)
class History:
    """What was seen so far."""

    changes: list[Change] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def pods(self, component: str) -> list[Change]:
        """Changes of one component's pods."""
        return [change for change in list(self.changes) if change.kind == "Pod" and change.component == component]

    def first(self, component: str, tag: str) -> float:
        """When the first pod of that build was made. One of a change before may still be ending."""
        there = {pod.name for pod in self.pods(component) if pod.type == "PRESENT"}
        return min(pod.moment for pod in self.pods(component) if pod.tag == tag and pod.name not in there)

    def last_ready(self, component: str, tag: str) -> float:
        """When the last pod of that build became ready for the first time."""
        ready: dict[str, float] = {}
        for pod in self.pods(component):
            if pod.tag == tag and pod.ready:
                ready.setdefault(pod.name, pod.moment)
        return max(ready.values())

    def handler_away(self) -> dict[str, float]:
        """For each node, the longest time without a ready virt-handler."""
        ready: dict[str, set[str]] = {}
        gone: dict[str, float] = {}
        away: dict[str, float] = {}
        for pod in self.pods("virt-handler"):
            node = pod.body["spec"].get("nodeName", "")
            there = ready.setdefault(node, set())
            if pod.ready:
                there.add(pod.name)
                if node in gone:
                    away[node] = max(away.get(node, 0.0), pod.moment - gone.pop(node))
            elif pod.name in there:
                there.remove(pod.name)
                if not there:
                    gone[node] = pod.moment
        assert not gone, f"no virt-handler came back on {sorted(gone)}"
        return away

    def handlers(self) -> list[str]:
        """What became of the handlers' pods when, a line for each that left or came."""
        seen: set[str] = set()
        lines = []
        for pod in self.pods("virt-handler"):
            leaving = "deletionTimestamp" in pod.body["metadata"]
            state = "gone" if pod.type == "DELETED" else "leaving" if leaving else "ready" if pod.ready else "made"
            line = f"{pod.name} on {pod.body['spec'].get('nodeName', '?')} {state}"
            if line not in seen:
                lines.append(f"{pod.moment - self.began:5.1f} s {line}")
            seen.add(line)
        return lines

    def unavailable(self) -> list[str]:
        """The messages of the condition Available while it was not True."""
        changes = [change for change in list(self.changes) if change.kind == "KubeVirt"]
        states = [(change.moment - self.began, condition_of(change.body, "Available")) for change in changes]
        return [f"{moment:.1f} s {state}" for moment, state in states if state.get("status") != "True"]

    def upgrades(self) -> list[dict[str, Any]]:
        """Each `status.upgrade` that differed from the one before in operation or step."""
        seen: list[dict[str, Any]] = []
        for change in list(self.changes):
            state = change.body.get("status", {}).get("upgrade", {}) if change.kind == "KubeVirt" else {}
            step = (state.get("operation"), state.get("step"))
            if any(step) and (not seen or step != (seen[-1].get("operation"), seen[-1].get("step"))):
                seen.append({**state, "moment": change.moment - self.began})
        return seen


@contextmanager
def watching() -> Iterator[History]:
    """Watch from now on."""
    history, over = History(), threading.Event()
    watches = [_Watch(kind, path, history, over) for kind, path in _PATHS.items()]
    try:
        yield history
        _catch_up(history)
    finally:
        over.set()
        for watch in watches:
            watch.end()


def _catch_up(history: History) -> None:
    """Wait until what has happened until now has arrived; on a busy machine a watch is behind."""
    known = [
        body["metadata"] for path in _PATHS.values() for body in json.loads(kubectl("get", "--raw", path))["items"]
    ]
    wanted = {meta["uid"]: int(meta["resourceVersion"]) for meta in known}

    def has_arrived() -> bool:
        seen: dict[str, int] = {}
        for change in list(history.changes):
            meta = change.body["metadata"]
            seen[meta["uid"]] = max(seen.get(meta["uid"], 0), int(meta["resourceVersion"]))
        return all(seen.get(uid, 0) >= version for uid, version in wanted.items())

    until(has_arrived, "the watches to be up to date")


class _Watch:
    """A watch that is opened again when it ends: the API server ends those of a kind whose definition changes."""

    def __init__(self, kind: str, path: str, history: History, over: threading.Event) -> None:
        self._kind, self._path, self._history, self._over = kind, path, history, over
        self._process = self._opened("PRESENT")
        self._thread = threading.Thread(target=self._follow, name=f"watch of {kind}")
        self._thread.start()

    def end(self) -> None:
        """`over` is set."""
        while self._thread.is_alive():  # it may just have opened another one
            self._process.kill()
            self._thread.join(1)

    def _opened(self, known_as: str) -> subprocess.Popen[str]:
        known = json.loads(kubectl("get", "--raw", self._path))
        version = known["metadata"]["resourceVersion"]
        for body in known["items"]:
            self._history.changes.append(Change(time.monotonic(), self._kind, known_as, body))
        argv = ["kubectl", "get", "--raw", f"{self._path}?watch=1&resourceVersion={version}&timeoutSeconds=3000"]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def _follow(self) -> None:
        while True:
            assert self._process.stdout is not None
            with self._process.stdout as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["type"] != "ERROR":
                        change = Change(time.monotonic(), self._kind, event["type"], event["object"])
                        self._history.changes.append(change)
            self._process.wait()
            if self._over.is_set():
                return
            self._process = self._opened("ADDED")


def template_variables(deployment: str) -> dict[str, str]:
    """Plain environment variables of a Deployment's first container."""
    container = get("-n", NAMESPACE, "deployment", deployment)["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable["value"] for variable in container.get("env", ()) if "value" in variable}

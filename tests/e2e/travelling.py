"""One change of the suite's release as users make it, and how it is judged: order, time, nodes without a handler."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.e2e.asking import asking
from tests.e2e.builds import COMPONENTS, Build, reached
from tests.e2e.cluster import NAMESPACE, get, kubectl, nodes
from tests.e2e.guests import Guest
from tests.e2e.watching import History, watching

LONGEST_CHANGE = 300.0  # seconds, on a busy machine; the benchmark says how long a change usually takes
LONGEST_AWAY = 60.0  # seconds without a ready virt-handler on a node, after which the suite is not Available
UP = COMPONENTS
"""In the order of an update; a rollback's is the reverse."""

Change = Callable[[Build], None]


def travel(change: Change, build: Build, order: tuple[str, ...]) -> None:
    """Change the release, and judge how it went: in which order, how long, how long each node had no handler."""
    with watching() as history, asking() as tally:
        change(build)
        seconds = reached(build)
    away = history.handler_away()
    gaps = ", ".join(f"{node} {gap:.1f} s" for node, gap in sorted(away.items()))
    print(f"{build.name} by {change.__name__}: {seconds:.1f} s, without a handler: {gaps}")
    print(f"  {tally.tries} machines created (dry runs), {len(tally.refusals)} refused")
    print("\n".join(f"  {line}" for line in history.handlers()))
    for state in history.upgrades():
        waiting = [f"{wait['object']}: {wait['reason']}" for wait in state.get("waitingFor", ())][:2]
        print(f"  {state['moment']:5.1f} s {state.get('operation')} {state.get('step')}: {waiting}")
    for earlier, later in pairwise(order):
        assert history.last_ready(earlier, build.tag) <= history.first(later, build.tag), timeline(history, build)
    assert seconds <= LONGEST_CHANGE, timeline(history, build)
    assert history.unavailable() == [], "Available is True all along"
    assert tally.refusals == []
    assert set(away) == set(nodes()), away
    assert max(away.values()) <= LONGEST_AWAY, away


def timeline(history: History, build: Build) -> str:
    """What became of each component when."""
    return "\n".join(
        f"{name}: first made {history.first(name, build.tag) - history.began:.1f} s, "
        f"last ready {history.last_ready(name, build.tag) - history.began:.1f} s"
        for name in (*UP, "virt-operator")
    )


def launcher_of(guest: Guest) -> str:
    """The launcher's image; empty while the guest has two."""
    vmi = guest.vmi
    pods = get("pods", "-l", f"kubevirt.io/created-by={vmi['metadata']['uid']}")["items"]
    found = [
        pod["spec"]["containers"][0]["image"] for pod in pods if pod["metadata"]["uid"] in vmi["status"]["activePods"]
    ]
    return found[0] if len(found) == 1 else ""


def left_alone(body: dict[str, Any]) -> dict[str, Any]:
    """A machine whose launcher is not replaced while it runs."""
    body["metadata"]["annotations"] = {"kubevirt.io/workload-update": "Never"}
    return body


def set_workload_updates(methods: list[str]) -> None:
    """Whether outdated launchers are replaced, and how."""
    strategy = {"spec": {"workloadUpdateStrategy": {"workloadUpdateMethods": methods} if methods else None}}
    kubectl("-n", NAMESPACE, "patch", "kubevirt", "kubevirt", "--type=merge", "-p", json.dumps(strategy))


def component_pods() -> set[str]:
    """UIDs of the components' pods. Those of Jobs come and go: each strategy's printing is one."""
    pods = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io,!batch.kubernetes.io/job-name")["items"]
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

"""kill -9 of every virt-controller, and how long until the next ones have read the cluster. For tests and
`make bench`."""

from __future__ import annotations

import time
import urllib.request
from datetime import UTC, datetime

from virt_core.conventions.component_pod import HEALTH_PATH, HEALTH_PORT

from tests.e2e.cluster import NAMESPACE, get, kubectl, process, until

_SECONDS = 300  # the kubelet waits longer and longer before it starts a container again


def restarted_controllers() -> float:
    """Kill all replicas; returns the seconds until all are synced again, once one of them leads.

    The kubelet starts the containers of the same pods again, so the Lease's holder has it at once.
    """
    pods = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-controller")["items"]
    began, moment = datetime.now(UTC), time.monotonic()
    for pod in pods:
        victim = process(pod["metadata"]["uid"], "virt_controller")
        assert victim is not None, f"{pod['metadata']['name']} has no process"
        victim.kill()
    addresses = [pod["status"]["podIP"] for pod in pods]
    until(lambda: not any(map(_is_synced, addresses)), "all to be dead", every=0.01)
    until(lambda: all(map(_is_synced, addresses)), "all to be synced", _SECONDS, every=0.02)
    synced = time.monotonic() - moment
    until(lambda: _acquired() > began, "another leader", _SECONDS, every=0.1)
    print(f"all replicas synced {synced:.1f} s after their deaths, one leads after {time.monotonic() - moment:.1f} s")
    kubectl(
        "-n",
        NAMESPACE,
        "rollout",
        "status",
        "deployment/virt-controller",
        f"--timeout={_SECONDS}s",
        deadline=_SECONDS + 30,
    )
    return synced


def _is_synced(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:{HEALTH_PORT}{HEALTH_PATH}", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _acquired() -> datetime:
    spec = get("lease", "virt-controller", "-n", NAMESPACE)["spec"]
    return datetime.fromisoformat(spec["acquireTime"])

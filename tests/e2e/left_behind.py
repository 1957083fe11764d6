"""What a migration that is over has left behind, in the API and in the guest's pod. For tests with faults."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from virt_core.conventions.labels import CREATED_BY
from virt_core.conventions.migration import FINALIZER, TARGET_NODE_NAME

from tests.e2e.cluster import get, process, processes
from tests.e2e.migration_faults import LAUNCHER, QEMU
from tests.e2e.move_watch import FINAL, Body

_PKI = "var/run/kubevirt-private/.pki/libvirt"
_LIBVIRT_PORT = 16514
_LISTENS = "0A"  # proc(5), net/tcp: the state


class Seen(Protocol):
    """Objects of a namespace by name, of a watch or listed once."""

    @property
    def vmis(self) -> Mapping[str, Body]: ...
    @property
    def pods(self) -> Mapping[str, Body]: ...
    @property
    def migrations(self) -> Mapping[str, Body]: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """What the default namespace has at one moment."""

    vmis: dict[str, Body]
    pods: dict[str, Body]
    migrations: dict[str, Body]

    @classmethod
    def now(cls) -> Listed:
        """Listed one kind after the other."""
        kinds = ("vmi", "pods", "vmim")
        return cls(*({body["metadata"]["name"]: body for body in get(kind)["items"]} for kind in kinds))


def left_behind(watch: Seen, guest: str) -> list[str]:
    """What a guest's migrations have left; empty if it is as if it had been started where it runs."""
    vmi = watch.vmis[guest]
    meta, status = vmi["metadata"], vmi["status"]
    active: dict[str, str] = status.get("activePods", {})
    mine = [pod for pod in watch.pods.values() if pod["metadata"].get("labels", {}).get(CREATED_BY) == meta["uid"]]
    alive = [pod for pod in mine if pod["status"].get("phase") not in FINAL]
    found = []
    if TARGET_NODE_NAME in meta.get("labels", {}):
        found.append(f"label {TARGET_NODE_NAME}")
    if len(active) != 1:
        found.append(f"activePods {active}")
    if {pod["metadata"]["uid"] for pod in alive} != set(active):
        found.append(f"pods {[pod['metadata']['name'] for pod in alive]} beside activePods {active}")
    if list(active.values()) != [status.get("nodeName")]:
        found.append(f"nodeName {status.get('nodeName')} beside activePods {active}")
    state = status.get("migrationState", {})
    if state and not state.get("completed"):  # a migration that failed before its hand-off has none
        found.append(f"migrationState {state}")
    for migration in watch.migrations.values():
        is_mine = migration["spec"]["vmiName"] == guest
        if (
            is_mine
            and migration.get("status", {}).get("phase") in FINAL
            and FINALIZER in migration["metadata"].get("finalizers", ())
        ):
            found.append(f"finalizer of {migration['metadata']['name']}")
    running = [pod["metadata"]["name"] for pod in mine if process(pod["metadata"]["uid"], QEMU)]
    if len(running) != 1:
        found.append(f"QEMU in {running}")
    return [*found, *(thing for pod in alive for thing in _in_pod(pod))]


def _in_pod(pod: Body) -> list[str]:
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    launcher = process(uid, LAUNCHER)
    if launcher is None:
        return [f"{name} has no launcher: {[known.command[:60] for known in processes(uid)]}"]
    proc, found = Path("/proc", str(launcher.pid)), []
    if files := sorted(path.name for path in (proc / "root" / _PKI).glob("*")):
        found.append(f"{name}: certificates {files}")
    for line in (proc / "net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == _LISTENS and int(local.rpartition(":")[2], 16) == _LIBVIRT_PORT:
            found.append(f"{name}: libvirtd listens")
    argv = ["nsenter", "-t", str(launcher.pid), "-n", "nft", "list", "ruleset"]
    rules = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    found += [f"{name}: rule {line.strip()}" for line in rules.splitlines() if str(_LIBVIRT_PORT) in line]
    return found


def unfinished(body: Body) -> str:
    """A migration's own words on how it stands."""
    status = body.get("status", {})
    words = [condition.get("message", "") for condition in status.get("conditions", ())]
    return f"{body['metadata']['name']} {status.get('phase')}: {'; '.join(filter(None, words))}"

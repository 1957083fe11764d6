"""Launchers' images that print what they know of hardware, or do not. Used by world.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Unavailable
from virt_core.kube.resource import PODS
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.proof.prove import Prober
from virt_operator.reconcile.execute import Executor
from virt_operator.reconcile.inventory import Inventory
from virt_operator.reconcile.learn import Learner
from virt_operator.strategy.hardware_job import APP
from virt_operator.strategy.ref import Body
from virt_operator.suite.hypervisor import Hypervisor

OLD_TYPES, NEW_TYPES = ("pc-q35-7.1", "pc-q35-7.2"), ("pc-q35-7.1", "pc-q35-7.2", "pc-q35-10.0")


def record(types: tuple[str, ...], models: tuple[str, ...] = ("Nehalem",), **more: object) -> bytes:
    """What an image prints; the last type has the alias."""
    found = [{"name": name, "aliases": ["q35"] if name == types[-1] else []} for name in types]
    return json.dumps({"qemu": "1", "libvirt": "2", "machineTypes": found, "cpuModels": models, **more}).encode()


@dataclass
class Launchers:
    """The images, and the operator's memory of what they have printed."""

    printing: dict[str, bytes] = field(default_factory=dict)
    """By tag; others print OLD_TYPES."""

    missing: set[str] = field(default_factory=set)
    """Tags of images that cannot be pulled."""

    broken: set[str] = field(default_factory=set)
    """Tags of images that end with an error."""

    unreadable: bool = False
    """Whether nobody can read the logs."""

    by_uid: dict[str, Mapping[str, Hypervisor | str]] = field(default_factory=dict)
    read: int = 0

    def run(self, server: FakeApiServer, jobs: list[Body], pods: list[Body]) -> None:
        """The Job controller and the kubelet."""
        wanted = {job["metadata"]["name"]: job for job in jobs if job["metadata"]["labels"].get(labels.APP) == APP}
        there = {pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"].get(labels.APP) == APP}
        for name in there - {f"{job}-x" for job in wanted}:
            server.remove(PODS.path("kubevirt", name))
        for name, job in wanted.items():
            template = job["spec"]["template"]
            status = self._status([container["image"] for container in template["spec"]["containers"]])
            if f"{name}-x" in there:
                before = next(pod for pod in pods if pod["metadata"]["name"] == f"{name}-x")
                if before.get("status") != status:
                    server.patch(PODS.path("kubevirt", f"{name}-x"), {"status": status})
                continue
            meta = {"name": f"{name}-x", "labels": template["metadata"]["labels"]}
            server.put(PODS.path("kubevirt"), {"metadata": meta, "spec": template["spec"], "status": status})

    def _status(self, images: list[str]) -> Body:
        states = [self._state(image.rpartition(":")[2]) for image in images]
        names = ("before", "after")
        statuses = [{"name": name, "state": state} for name, state in zip(names, states, strict=True)]
        codes = [state["terminated"]["exitCode"] if "terminated" in state else None for state in states]
        phase = "Pending" if None in codes else "Failed" if any(codes) else "Succeeded"
        return {"phase": phase, "containerStatuses": statuses}

    def _state(self, tag: str) -> Body:
        if tag in self.missing:
            return {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
        return {"terminated": {"exitCode": 1 if tag in self.broken else 0}}

    def printed(self, image: str) -> bytes:
        """The log of a container of that image."""
        self.read += 1
        return self.printing.get(image.rpartition(":")[2], record(OLD_TYPES))


class ReadingLearner(Learner):
    """The operator's own, but for the logs, which the fake API server does not have."""

    launchers: Launchers
    pods: FakeApiServer

    async def printed_by(self, pod: str, container: str) -> bytes:
        if self.launchers.unreadable:
            raise Unavailable(500, "the kubelet does not answer")
        spec = self.pods.store.get(Place.parse(PODS.path("kubevirt", pod)))["spec"]
        return self.launchers.printed(next(c["image"] for c in spec["containers"] if c["name"] == container))


def executor(  # noqa: PLR0917
    client: KubeClient,
    inventory: Inventory,
    authority: AuthorityWatch,
    prober: Prober,
    launchers: Launchers,
    pods: FakeApiServer,
) -> Executor:
    """The operator's own, which reads the logs of these launchers."""
    learner = ReadingLearner(client, inventory, prober, "kubevirt")
    learner.launchers, learner.pods = launchers, pods
    return Executor(client, inventory, authority, learner, "kubevirt")

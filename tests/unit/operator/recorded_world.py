"""A cluster that virtadm sees whole: nodes, Leases, virt-operator's pod, and guests that move. Used by recording.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from virt_core.conventions import components, labels
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.conventions.migration import OUTDATED_LAUNCHER
from virt_core.kube import resource
from virt_core.kube.resource import Resource
from virt_core.objects.meta import rfc3339
from virt_core.testing.place import Place
from virt_operator.strategy.ref import Body
from virt_operator.suite.observed import PodObject

from .updates import NEW
from .world import World

GUESTS = {"ada": "node1", "bob": "node2", "eve": "node3"}
_OPERATOR = resource.DEPLOYMENTS.path("kubevirt", "virt-operator")


@dataclass
class RecordedWorld(World):
    """Its clock stands still but for what is added to `offset`."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    moves: int = 0
    """Two for each guest that has moved to the next node: one that moves now is half way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.nodes:
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            status |= {"allocatable": {"devices.kubevirt.io/kvm": "1000"}}
            self._put(resource.NODES, None, name, labels={labels.SCHEDULABLE: "true"}, status=status)
        for name, node in GUESTS.items():
            status = {"phase": "Running", "nodeName": node}
            self._put(resource.VIRTUAL_MACHINE_INSTANCES, "default", name, labels={}, status=status)

    @property
    def now(self) -> datetime:
        return self.began + self.offset

    @property
    def pods(self) -> tuple[PodObject, ...]:
        return tuple(pod for pod in super().pods if pod.metadata.labels.get(labels.APP) != components.OPERATOR)

    def act(self) -> None:
        super().act()
        operator = self._run_operator()
        for component, holder in ((components.OPERATOR, operator), (components.CONTROLLER, self.kubelets.leader)):
            lease = {"holderIdentity": holder, "renewTime": rfc3339(self.now)}
            self._put(resource.LEASES, "kubevirt", component, labels={}, spec=lease)
        if self.suite is not None and self.suite.status.observed_kube_virt_version == NEW:
            self._move()

    def _run_operator(self) -> str:
        """The pods of its Deployment; the name of one."""
        deployment = self.server.store.get(Place.parse(_OPERATOR))["spec"]
        image = deployment["template"]["spec"]["containers"][0]["image"]
        tag, marks = image.rpartition(":")[2], deployment["template"]["metadata"].get("annotations", {})
        names = [f"virt-operator-{tag}-{number}" for number in range(deployment["replicas"])]
        for pod in super().pods:
            if pod.metadata.labels.get(labels.APP) == components.OPERATOR and pod.metadata.name not in names:
                self.server.remove(resource.PODS.path("kubevirt", pod.metadata.name))
        for name in names:
            self._put(
                resource.PODS,
                "kubevirt",
                name,
                labels={labels.APP: components.OPERATOR},
                annotations={TEMPLATE_HASH: marks.get(TEMPLATE_HASH, "")},
                spec={"containers": [{"name": "virt-operator", "image": image}]},
                status={"conditions": [{"type": "Ready", "status": "True"}]},
            )
        return names[0]

    def _move(self) -> None:
        """virt-controller and the handlers: every launcher is old, and one guest after the other moves."""
        for number, (name, node) in enumerate(GUESTS.items()):
            moved = self.moves > 2 * number + 1
            active = {"migrationUid": f"move-{name}"} if self.moves == 2 * number + 1 else None
            status = {"nodeName": self._after(node) if moved else node, "migrationState": active}
            outdated = {OUTDATED_LAUNCHER: None if moved else ""}
            self._put(resource.VIRTUAL_MACHINE_INSTANCES, "default", name, labels=outdated, status=status)
        self.moves = min(self.moves + 1, 2 * len(GUESTS))

    def _after(self, node: str) -> str:
        return self.nodes[(self.nodes.index(node) + 1) % len(self.nodes)]

    def _put(
        self, kind: Resource, namespace: str | None, name: str, annotations: Body | None = None, **body: Body
    ) -> None:
        """Create the object, or change it."""
        meta = {"name": name, "labels": body.pop("labels"), "annotations": annotations or {}}
        if self._select(Place.parse(kind.path(namespace, name))):
            self.server.patch(kind.path(namespace, name), {"metadata": meta, **body})
        else:
            self.server.put(kind.path(namespace), {"metadata": meta, **body})

"""The suite at one moment, as frozen values. Pure; made by listing.py and following.py, read by those that decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from virt_core.objects.kubevirt import HasMetadata, KubeVirt, rank
from virt_core.objects.meta import seconds_since

from virt_admin.suite.objects import Guest, LeaseObject, Node, Pod, Workload

K = TypeVar("K", bound=HasMetadata)
_SILENT = 60.0  # seconds; a leader renews every 5, but this machine's clock need not be the cluster's


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was read."""

    now: datetime
    """UTC, by the clock of virtadm."""

    namespace: str
    """Of the suite."""

    kubevirt: KubeVirt
    pods: tuple[Pod, ...] = ()
    """Of the suite's components."""

    workloads: tuple[Workload, ...] = ()
    nodes: tuple[Node, ...] = ()
    guests: tuple[Guest, ...] = ()
    leases: tuple[LeaseObject, ...] = ()
    """Of virt-operator and virt-controller."""

    unreadable: tuple[str, ...] = ()
    """Objects that do not decode, each with why. What is known of them is older, or nothing."""

    trouble: str = ""
    """Why what is known may be old: the API server does not answer."""

    def pods_of(self, component: str) -> tuple[Pod, ...]:
        """The component's pods that have not ended."""
        return tuple(pod for pod in self.pods if pod.component == component and not pod.ended)

    def workload(self, name: str) -> Workload | None:
        """The Deployment or DaemonSet of that name."""
        return next((workload for workload in self.workloads if workload.metadata.name == name), None)

    def leader(self, component: str) -> str:
        """The pod that leads the component's replicas; "" if none does."""
        held = (lease.spec.holder_identity for lease in self.leases if lease.metadata.name == component)
        return next(held, None) or ""

    def renewed(self, component: str) -> str:
        """When that was confirmed last, RFC 3339; "" if there is no Lease."""
        times = (lease.spec.renew_time for lease in self.leases if lease.metadata.name == component)
        return next(times, None) or ""

    def silence(self, component: str) -> str | None:
        """Why the component does not act, in words; None if it does. Only those with a Lease: operator, controller."""
        if not any(pod.ready for pod in self.pods_of(component)):
            return f"no pod of {component} is ready"
        if not self.leader(component):
            return f"no pod of {component} leads"
        if seconds_since(self.renewed(component), self.now) > _SILENT:
            return f"{component}'s leader {self.leader(component)} has not renewed its Lease"
        return None


def suite_of(kubevirts: Iterable[K]) -> K | None:
    """The KubeVirt object that counts, whatever namespace the suite is in: virtadm learns it from the object."""
    return min(kubevirts, key=rank, default=None)

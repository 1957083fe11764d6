"""Pods of the suite and their GetInfo responses, as frozen values. Pure; used by modules that decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kubevirt.handler.v1 import probe_pb2
from kubevirt.info.v1 import info_pb2
from virt_core.conventions import components, labels
from virt_core.conventions.node_certificate import PER_NODE, node_name
from virt_core.objects.meta import ObjectMeta

COMPONENTS = {
    components.OPERATOR: info_pb2.COMPONENT_OPERATOR,
    components.API: info_pb2.COMPONENT_API,
    components.CONTROLLER: info_pb2.COMPONENT_CONTROLLER,
    components.HANDLER: info_pb2.COMPONENT_HANDLER,
}
_ENDED = ("Succeeded", "Failed")


class Pod(Protocol):
    """A pod from a list or a watch."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> dict[str, Any]: ...

    @property
    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, order=True)
class SuitePod:
    """A pod of operator, api, controller or handler."""

    component: str
    """For example "virt-handler"."""

    name: str
    node: str
    """"" until it is scheduled."""

    address: str
    """"" until it has one."""

    terminating: bool = False
    """Whether it is being deleted; it may still answer for a while."""

    server_name: str = ""
    """The name in its certificate, if it is not the component's."""


@dataclass(frozen=True, slots=True)
class Info:
    """A GetInfo response; fields as in info.proto."""

    release: str
    instance_id: str
    feature_level: int
    contracts: frozenset[str]
    features: frozenset[str]
    trust_bundle_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A pod's answer: `info`, or the problem."""

    pod: SuitePod
    info: Info | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LauncherBuild:
    """The launchers of a node that have answered a virt-handler's GetInfo alike."""

    info: Info
    """Without an instance and a bundle."""

    count: int
    example: tuple[str, str]
    """Namespace and name of the VirtualMachineInstance of one of them."""


@dataclass(frozen=True, slots=True)
class NodeLaunchers:
    """The launchers of a virt-handler's node."""

    pod: SuitePod
    """Of the virt-handler."""

    builds: tuple[LauncherBuild, ...]
    others: int
    """Of how many nothing is known."""


def suite_pods(pods: Iterable[Pod]) -> tuple[SuitePod, ...]:
    """The pods that should answer, in a stable order, without completed ones."""
    found = (
        SuitePod(
            pod.metadata.labels.get(labels.APP, ""),
            pod.metadata.name,
            pod.spec.get("nodeName", ""),
            pod.status.get("podIP", ""),
            pod.metadata.deletion_timestamp is not None,
            _server_name(pod),
        )
        for pod in pods
        if pod.status.get("phase") not in _ENDED
    )
    return tuple(sorted(pod for pod in found if pod.component in COMPONENTS))


def _server_name(pod: Pod) -> str:
    if PER_NODE not in pod.metadata.annotations:
        return ""
    return node_name(pod.spec.get("nodeName", ""), pod.metadata.namespace)


def answer_of(pod: SuitePod, info: info_pb2.GetInfoResponse) -> Answer:
    """The pod's answer; a problem if the process is another component."""
    if info.component != COMPONENTS[pod.component]:
        return Answer(pod, None, f"the process says that it is component {info.component}")
    return Answer(
        pod,
        Info(
            release=info.release,
            instance_id=info.instance_id,
            feature_level=info.feature_level,
            contracts=frozenset(info.contracts),
            features=frozenset(info.features),
            trust_bundle_sha256=info.trust_bundle_sha256,
        ),
    )


def launchers_of(pod: SuitePod, found: probe_pb2.ListLaunchersResponse) -> NodeLaunchers:
    """What a virt-handler says of the launchers of its node."""
    builds = (
        LauncherBuild(
            Info(build.release, "", build.feature_level, frozenset(build.contracts), frozenset(build.features), ""),
            build.count,
            (build.example.namespace, build.example.name),
        )
        for build in found.builds
    )
    return NodeLaunchers(pod, tuple(builds), found.further + found.unconnected)

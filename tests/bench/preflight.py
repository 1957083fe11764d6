"""The plan of an upgrade over a large cluster: its judges alone, without a cluster. `python -m tests.bench preflight`.

Each node has a virt-handler, ten guests with two tolerations each, and ten other pods; every guest would be moved. The
launcher pods have many different sizes, so that little is remembered from one guest to the next. In the second case no
node has room, which is the longest search.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import Condition, ObjectMeta
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.preflight.kinds import Guest, Machine, Node, Pod
from virt_operator.preflight.observed import Certificate, Cluster, Question, Target
from virt_operator.preflight.plan import plan
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import strategy_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.observed import PodObject, SuiteObject

NODES, GUESTS = 1000, 10_000
_NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
_OLD = InstallSettings("kubevirt", "registry.example", "v1.2.0")
_NEW = InstallSettings("kubevirt", "registry.example", "v1.3.0")
_OPERATOR = Settings("kubevirt", "virt-operator-0", _OLD.registry, _OLD.tag, _OLD.tag)
_PASSES = 5
T = TypeVar("T")


def preflight(nodes: int = NODES, guests: int = GUESTS) -> dict[str, float]:
    """Seconds of a pass, and the memory of a process that holds the cluster and makes the passes."""
    command = [sys.executable, "-m", "tests.bench.preflight", str(nodes), str(guests)]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"plan of an upgrade, {nodes} nodes and {guests} guests")
    for name, value in measured.items():
        print(f"  {name:32} {value:10.2f}")
    return measured


def _measured(nodes: int, guests: int) -> dict[str, float]:
    cluster, question, target = _cluster(nodes, guests), Question(_NEW, _NEW.tag, _NEW.registry), _target()
    seconds = [_pass(cluster, question, target) for _ in range(_PASSES)]
    full = replace(cluster, nodes=[_node(number, "16Gi") for number in range(nodes)])
    crowded = [_pass(full, question, target) for _ in range(_PASSES)]
    return {
        "seconds a pass, slowest of 5": max(seconds),
        "without room anywhere, slowest": max(crowded),
        "MB of the process, at most": _peak() / 1e6,
    }


def _pass(cluster: Cluster, question: Question, target: Target) -> float:
    began = time.process_time()  # others on this machine do not count
    found = plan(cluster, question, target)
    took = time.process_time() - began
    if len(found.findings) < len(cluster.guests):
        raise RuntimeError("the plan has left guests out")
    return took


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cluster(nodes: int, guests: int) -> Cluster:
    status = KubeVirtStatus(
        conditions=[Condition("Available", "True")],
        observed_deployment_id=_OLD.deployment_id,
        observed_release=_OLD.tag,
    )
    spec = {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]}}
    installed = strategy_of(_OLD, _OLD.deployment_id, _OLD.tag)
    pods = [_launcher(number, number % nodes) for number in range(guests)]
    pods += [_other(number, number % nodes) for number in range(10 * nodes)]
    return Cluster(
        now=_NOW,
        operator=_OPERATOR,
        suite=SuiteObject(ObjectMeta("kubevirt", "kubevirt"), spec, status),
        held={"kubevirt": (), "kube-system": ()},
        installed=installed,
        pods=pods,
        handlers=[_handler(number) for number in range(nodes)],
        nodes=[_node(number, "256Gi") for number in range(nodes)],
        guests=[_guest(number, number % nodes) for number in range(guests)],
        machines=[_machine(number) for number in range(guests)],
        definitions={
            body["metadata"]["name"]: body for body in installed.objects if body["kind"] == "CustomResourceDefinition"
        },
        certificates=[Certificate("kubevirt-virt-api-certs", _NOW, _NOW + DEFAULT.leaf.duration + timedelta(hours=1))],
    )


def _target() -> Target:
    types = frozenset({"q35", "pc-q35-7.2", "pc-q35-10.0"})
    known = Hypervisor("10.0.0", "11.3.0", types, frozenset({"Nehalem"}), frozenset({"vmx"}))
    return Target(strategy_of(_NEW, _NEW.deployment_id, _NEW.tag), known, probed=True)


def _node(number: int, memory: str) -> Node:
    meta = {
        "name": f"node{number}",
        "labels": {"kubevirt.io/schedulable": "true", **{f"label{n}": "value" for n in range(30)}},
        "annotations": {"kubevirt.io/heartbeat": "2026-01-31T09:59:30Z"},
    }
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"cpu": "64", "memory": memory, "pods": "110", "devices.kubevirt.io/kvm": "1k"},
    }
    return _of(Node, {"metadata": meta, "status": status})


def _handler(number: int) -> PodObject:
    meta = ObjectMeta(f"virt-handler-{number}", "kubevirt")
    return PodObject(meta, {"nodeName": f"node{number}"}, {"conditions": [{"type": "Ready", "status": "True"}]})


def _guest(number: int, node: int) -> Guest:
    meta = {"name": f"guest-{number}", "namespace": f"project-{number % 100}", "uid": f"uid-{number}"}
    status = {
        "phase": "Running",
        "nodeName": f"node{node}",
        "machine": {"type": "pc-q35-7.2"},
        "launcherContainerImageVersion": _OLD.image("virt-launcher"),
        "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "LiveMigratable", "AgentConnected")],
    }
    cpu = {"model": "Nehalem", "features": [{"name": "vmx"}]}
    return _of(Guest, {"metadata": meta, "spec": {"domain": {"cpu": cpu}}, "status": status})


def _machine(number: int) -> Machine:
    return _of(Machine, {"metadata": {"name": f"guest-{number}", "namespace": f"project-{number % 100}"}})


def _launcher(number: int, node: int) -> Pod:
    requests = {"cpu": f"{100 + number % 50}m", "memory": f"{1000 + number % 977}Mi", "devices.kubevirt.io/kvm": "1"}
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": f"uid-{number}"}
    spec = {
        "nodeName": f"node{node}",
        "nodeSelector": {"kubevirt.io/schedulable": "true", f"label{number % 30}": "value"},
        "tolerations": [{"key": key, "operator": "Exists"} for key in ("a", "b")],
        "containers": [{"resources": {"requests": requests}}, {"resources": {"requests": {"memory": "40M"}}}],
    }
    return _pod(f"virt-launcher-{number}", labels, spec)


def _other(number: int, node: int) -> Pod:
    spec = {"nodeName": f"node{node}", "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}]}
    return _pod(f"other-{number}", {}, spec)


def _pod(name: str, labels: dict[str, str], spec: dict[str, Any]) -> Pod:
    meta = {"name": name, "namespace": "project", "labels": labels}
    return _of(Pod, {"metadata": meta, "spec": spec, "status": {"phase": "Running"}})


def _of(kind: type[T], body: dict[str, Any]) -> T:
    """Decoded from JSON, as it is read."""
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]), int(sys.argv[2]))))

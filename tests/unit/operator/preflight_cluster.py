"""A clean cluster for the plan of an upgrade: two nodes with virt-handlers and a guest; and changes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from virt_core.objects.meta import Condition, ObjectMeta
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.preflight.finding import Finding, Severity, Subject
from virt_operator.preflight.kinds import Guest, Machine, Node, Pod
from virt_operator.preflight.observed import Certificate, Cluster, Question, Target
from virt_operator.preflight.plan import Plan, plan
from virt_operator.strategy.install_strategy import strategy_of
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.observed import PodObject

from .suites import HELD, INSTALL, NOW, OPERATOR, deployed, suite

TARGET = msgspec.structs.replace(INSTALL, tag="v1.3.0")
OLD_IMAGE = INSTALL.image("virt-launcher")
INSTALLED = strategy_of(INSTALL, INSTALL.deployment_id, INSTALL.tag)
STRATEGY = strategy_of(TARGET, TARGET.deployment_id, TARGET.tag)
QEMU = Hypervisor(
    "10.0.0", "11.3.0", frozenset({"q35", "pc-q35-7.2", "pc-q35-10.0"}), frozenset({"Nehalem"}), frozenset({"vmx"})
)
PROBED = Target(STRATEGY, QEMU, probed=True)
MOVES = {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]}}
AVAILABLE = Condition("Available", "True")


def node(name: str, **changes: Any) -> Node:
    """A node that takes guests."""
    body: Body = {
        "metadata": {
            "name": name,
            "labels": {"kubevirt.io/schedulable": "true", "zone": name},
            "annotations": {"kubevirt.io/heartbeat": "2026-01-31T09:59:30Z"},
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        },
    }
    for part, values in changes.items():
        body[part] = {**body[part], **values}
    return msgspec.convert(body, Node)


def handler(where: str, *, ready: bool = True) -> PodObject:
    meta = ObjectMeta(f"virt-handler-{where}", "kubevirt", labels={"kubevirt.io": "virt-handler"})
    conditions = [{"type": "Ready", "status": str(ready)}]
    return PodObject(meta, {"nodeName": where}, {"phase": "Running", "conditions": conditions})


def guest(name: str = "ada", *, spec: Body | None = None, **status: Any) -> Guest:
    """A guest on node1 that can move."""
    reported = {
        "phase": "Running",
        "nodeName": "node1",
        "machine": {"type": "pc-q35-7.2"},
        "launcherContainerImageVersion": OLD_IMAGE,
        "conditions": [{"type": "LiveMigratable", "status": "True"}],
    }
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": spec or {},
        "status": {**reported, **status},
    }
    return msgspec.convert(body, Guest)


def launcher(of: str = "ada", where: str = "node1", memory: str = "1Gi", **spec: Any) -> Pod:
    """The launcher pod of a guest."""
    body = {
        "metadata": {
            "name": f"virt-launcher-{of}",
            "namespace": "default",
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": f"uid-{of}"},
        },
        "spec": {
            "nodeName": where,
            "nodeSelector": {"kubevirt.io/schedulable": "true"},
            "containers": [{"resources": {"requests": {"cpu": "100m", "memory": memory}}}],
            **spec,
        },
        "status": {"phase": "Running"},
    }
    return msgspec.convert(body, Pod)


def machine(name: str = "bob", domain: Body | None = None) -> Machine:
    """A VM without a guest."""
    body = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"spec": {"domain": domain or {}}}},
    }
    return msgspec.convert(body, Machine)


def definitions() -> dict[str, Body]:
    """As installed."""
    return {
        body["metadata"]["name"]: {**body, "status": {"storedVersions": ["v1"]}}
        for body in INSTALLED.objects
        if body["kind"] == "CustomResourceDefinition" and body["spec"]["group"] == "kubevirt.io"
    }


def cluster(spec: Body | None = None, **changes: Any) -> Cluster:
    status = msgspec.structs.replace(deployed(), conditions=[AVAILABLE])
    made = NOW - timedelta(hours=1)
    clean = Cluster(
        now=NOW,
        operator=OPERATOR,
        suite=suite(spec or {}, status),
        held=HELD,
        installed=INSTALLED,
        pods=(launcher(),),
        handlers=(handler("node1"), handler("node2")),
        nodes=(node("node1"), node("node2")),
        guests=(guest(),),
        machines=(machine("ada"),),
        definitions=definitions(),
        certificates=(Certificate("kubevirt-virt-api-certs", made, made + DEFAULT.leaf.duration),),
        backends=frozenset({("policies", "reviewer")}),
        namespaces={"default": {}, "kubevirt": {}},
    )
    return replace(clean, **changes)


def judged(found: Cluster, target: Target = PROBED, settings: InstallSettings | None = TARGET) -> Plan:
    return plan(found, Question(settings, TARGET.tag, TARGET.registry), target)


def severe(found: Plan) -> list[Finding]:
    """What is more than information."""
    return [finding for finding in found.findings if finding.severity is not Severity.INFO]


def only(found: Plan) -> Finding:
    """The only finding that is more than information."""
    (finding,) = severe(found)
    return finding


def about(found: Plan, subject: Subject) -> list[Finding]:
    return [finding for finding in found.findings if finding.subject == subject]

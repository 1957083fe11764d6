"""Labels, annotations, finalizers and names that KubeVirt's users and tools rely on. Source: kubevirt-contract.md."""

from __future__ import annotations

import hashlib

APP = "kubevirt.io"
"""Which part of the suite an object is: "virt-launcher", "virt-handler", … on pods and Deployments."""

PROMETHEUS = "prometheus.kubevirt.io"
"""On pods with metrics, on their Service and on monitoring objects: "true", as in KubeVirt."""

CREATED_BY = "kubevirt.io/created-by"
"""On launcher pods: the UID of their VirtualMachineInstance."""

NODE_NAME = "kubevirt.io/nodeName"
"""On VirtualMachineInstances, once their pod has a node. Handlers select by it."""

SCHEDULABLE = "kubevirt.io/schedulable"
"""On Nodes: "true" if the handler can run VMs, "false" if it cannot at the moment. Launcher pods select "true"."""

HEARTBEAT = "kubevirt.io/heartbeat"
"""Annotation on Nodes: time of the handler's last heartbeat, in RFC 3339."""

HEARTBEAT_SECONDS = 300.0
"""A handler writes its heartbeat every minute. Without one for this time it is unresponsive, as in KubeVirt."""

VMI_ID = "vmi.kubevirt.io/id"
"""On launcher pods: what Services select, `virtctl expose`'s for example. `vmi_id` makes it of a VMI's name."""

DOMAIN = "kubevirt.io/domain"
"""On launcher pods: the name of their VirtualMachineInstance."""

RETRY_UPGRADE = "kubevirt.io/retry-upgrade"
"""Annotation of the KubeVirt object: another value tries an upgrade again that has stopped."""

FINALIZE_UPGRADE = "kubevirt.io/finalize-upgrade"
"""Annotation of the KubeVirt object: the release, or its tag, whose upgrade is to be finalized now, once; with "@" and
the begin of its way back, that upgrade and no other."""

UPGRADE_PROBE = "kubevirt.io/upgrade-probe"
"""On VirtualMachineInstances of the suite's own, with which an upgrade proves new pods. They live for seconds."""

INSTALL_STRATEGY = "kubevirt.io/install-strategy"
"""On the ConfigMap with a release's install strategy, as in KubeVirt."""

OPERATOR = "operator.kubevirt.io"
"""On CRDs and all objects of the operator's manifest. They cannot be deleted while a KubeVirt object exists."""

MANAGED_BY = "app.kubernetes.io/managed-by"
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
"""On VirtualMachines until their VirtualMachineInstance is gone, and on a VirtualMachineInstance until the controller
has recorded its end in the VirtualMachine's status."""

VM_GENERATION = "kubevirt.io/vm-generation"
"""On VirtualMachineInstances: the generation of the VirtualMachine that they were started with."""

REPLICA_BACK_OFF = "kubevirt.io/replica-back-off"
"""Annotation on VirtualMachineInstances that replace one of their replica set whose life was short: a hash of the
template, a dot, and how many lives in a row were short."""

SYNCED_ANNOTATIONS = (
    "descheduler.alpha.kubernetes.io/evict",
    "descheduler.alpha.kubernetes.io/prefer-no-eviction",
)
"""Annotations that follow from a VirtualMachine's template to its running VirtualMachineInstance, and from there to its
launcher pod, as in KubeVirt."""

LAUNCHER_RELEASE = "kubevirt.io/launcher-release"
"""Annotation on VirtualMachines, their templates, VirtualMachineInstances and namespaces: the tag of the launcher's
image for new pods (virt_core/vmi/launcher_release.py). Not in KubeVirt."""

KUBEVIRT_FINALIZER = "kubevirt.io/foregroundDeleteKubeVirt"

LAUNCHER_UID = 107
"""User and group of everything in a launcher pod, as in KubeVirt."""

COMMON_NAME_PREFIX = "kubevirt.io:system:"
"""Common names of the suite's certificates are this and the component, for example "kubevirt.io:system:virt-api"."""

_LABEL_LENGTH, _HASH_LENGTH = 63, 8


def vmi_id(name: str) -> str:
    """The value of VMI_ID for a VMI of that name: where the name is too long for a label, cut, with the first digits of
    its SHA-1. virtctl computes the same."""
    if len(name) <= _LABEL_LENGTH:
        return name
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    return f"{name[: _LABEL_LENGTH - _HASH_LENGTH - 1]}-{digest[:_HASH_LENGTH]}"

"""The Job that prints what the launchers of two releases know of hardware. Pure; called by change/hardware.py.

Each launcher's image has a record of its QEMU and libvirt. The pod has no account, and a container for each image, so
that both are read by one pod; the kubelet pulls them at the same time.
"""

from __future__ import annotations

import hashlib

from virt_core.conventions import components, labels

from virt_operator.strategy import pods
from virt_operator.strategy.desired import managed_labels
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings

APP = "virt-operator-hardware"
BEFORE, AFTER = "before", "after"
"""The containers: of the release to go back to, and of the target."""

PAIR = "kubevirt.io/launchers"
"""Label of the pod: which two images it runs."""


def hardware_job(before: str, settings: InstallSettings) -> Body:
    """The Job that runs the launcher image `before`, and the one of `settings`, the target's."""
    images = {BEFORE: before, AFTER: settings.image(components.LAUNCHER)}
    pair = hashlib.sha256(" ".join(images.values()).encode()).hexdigest()[:12]
    containers = [pods.record_container(name, image, settings.pull_policy) for name, image in images.items()]
    spec: Body = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True},
        "containers": containers,
    }
    template = pods.template(APP, pods.for_launchers(pods.placed(spec, settings, settings.workloads)))
    template["metadata"]["labels"][PAIR] = pair
    marks = {labels.APP: APP, PAIR: pair, **managed_labels()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"kubevirt-hardware-{pair}", "namespace": settings.namespace, "labels": marks},
        "spec": {"backoffLimit": 0, "template": template},
    }

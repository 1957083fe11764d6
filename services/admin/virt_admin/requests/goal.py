"""When what was requested is done, or has failed. Pure; called by commands.py for `--wait`."""

from __future__ import annotations

from virt_core.conventions.labels import RETRY_UPGRADE
from virt_core.conventions.suite_status import STOPPED
from virt_core.objects.kubevirt import KubeVirt
from virt_core.objects.meta import condition_of
from virt_core.objects.upgrade_status import Stopped

from virt_admin.outcome import ATTENTION, BROKEN, CLEAN
from virt_admin.suite.change import sentence

End = tuple[int, str]
"""Status of the process, and a sentence."""


def end_of(kubevirt: KubeVirt | None, version: str) -> End | None:
    """How the change to the tag `version` has ended; None while it goes on."""
    if kubevirt is None:
        return BROKEN, "the KubeVirt object is gone"
    status = kubevirt.status
    upgrade = status.upgrade
    operation = upgrade.operation if upgrade is not None else ""
    if (stopped := _stopped(kubevirt, version)) is not None:
        return BROKEN, f"{sentence(stopped)}; {status.observed_kube_virt_version} is back"
    requested = kubevirt.spec.image_tag
    if requested not in ("", version):
        return ATTENTION, f"somebody requests {requested} instead of {version}"
    settled = kubevirt.metadata.generation <= status.observed_generation
    if status.observed_kube_virt_version != version or operation or not settled:
        return None
    available = condition_of(status.conditions, "Available")
    if available is None or available.status != "True":
        return BROKEN, f"{version} is installed, and the suite is not available: see `virtadm doctor`"
    return CLEAN, f"{version} is installed"


def _stopped(kubevirt: KubeVirt, version: str) -> Stopped | None:
    """Why the change has stopped for good: the old release is back, and nobody has asked for another try."""
    upgrade = kubevirt.status.upgrade
    if upgrade is None or upgrade.operation != STOPPED or upgrade.stopped is None:
        return None
    stopped, retry = upgrade.stopped, kubevirt.metadata.annotations.get(RETRY_UPGRADE, "")
    return stopped if (stopped.version, stopped.retry) == (version, retry) else None

"""Which launcher's image a VirtualMachineInstance's pods have: the suite's own, or that of an older release which its
annotation or its namespace names. Pure; called by vmi/creation.py, migration/target.py and workload_update/."""

from __future__ import annotations

from dataclasses import replace

from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.objects.meta import ObjectMeta
from virt_core.validation.refusal import Refusal
from virt_core.vmi.launcher_release import FIELD, launcher_image, launcher_tag, why_no_launcher

from virt_controller.pod.containers import LauncherSettings


def launcher_of(meta: ObjectMeta, namespace_default: str, launcher: LauncherSettings) -> LauncherSettings | Refusal:
    """The launcher's settings for the VirtualMachineInstance of that metadata, or why there is no such launcher."""
    tag = launcher_tag(meta.annotations, namespace_default)
    if not tag:
        return launcher
    if why := why_no_launcher(tag):
        where = "" if LAUNCHER_RELEASE in meta.annotations else f"Namespace {meta.namespace}: "
        return Refusal(f"{where}{FIELD}", why)
    return replace(launcher, image=launcher_image(launcher.image, tag))

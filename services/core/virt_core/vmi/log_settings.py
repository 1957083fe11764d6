"""What a VirtualMachineInstance's launcher and libvirtd log. Pure.

Called at admission, and by the controller, which puts the result into the launcher pod's environment. Labels,
annotation and numbers are KubeVirt's. A running launcher keeps what its pod was made with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from virt_core.conventions.verbosity import DEFAULT, HIGHEST, is_verbosity
from virt_core.validation.refusal import Refusal, Refusals

VERBOSITY_LABEL, DEBUG_LABEL = "logVerbosity", "debugLogs"
FILTERS_ANNOTATION = "kubevirt.io/libvirt-log-filters"

_FILTER = r"[1-4]:[A-Za-z0-9_.*-]+"  # libvirt's level, and the source of messages
_FILTERS = re.compile(rf"{_FILTER}( {_FILTER})*")
_LONGEST = 1024
# What libvirt says at each verbosity from 5 on, as in KubeVirt: everything, but of these sources only warnings and
# errors. Source: KubeVirt's pkg/virt-launcher, GetLibvirtLogFilters.
_LIBVIRT_FROM = 5
_QUIET = "3:remote 4:event 3:util.json 3:util.object 3:util.dbus 3:util.netlink 3:node_device 3:rpc 3:access"
_WITHOUT_PASSWORDS = "3:qemu.qemu_agent 3:libvirt-qemu 3:rpc 3:remote 3:util.json"
_QUIETER = {
    5: f"{_QUIET} 3:util.threadjob 3:cpu.cpu 3:qemu.qemu_monitor 3:qemu.qemu_monitor_json 3:conf.domain_addr",
    6: f"{_QUIET} 3:util.threadjob 3:cpu.cpu 3:qemu.qemu_monitor",
    7: f"{_QUIET} 3:util.threadjob 3:cpu.cpu",
}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Of one launcher pod."""

    verbosity: int = DEFAULT

    libvirt_filters: str = ""
    """libvirt's log_filters; empty: warnings and errors."""


def log_settings(
    labels: Mapping[str, str], annotations: Mapping[str, str], cluster: int, *, has_credentials: bool = False
) -> LogSettings:
    """What the VMI asks for; `cluster` is the launchers' verbosity in the KubeVirt object, 0 if it has none.

    `has_credentials`: the launcher sends passwords to the guest agent. libvirt's debug messages repeat them, so those
    sources log warnings and errors only, whatever the user asks for.
    """
    label = labels.get(VERBOSITY_LABEL, "")
    verbosity = int(label) if is_verbosity(label) else cluster or DEFAULT
    filters = _filters(labels, annotations, verbosity)
    if filters and has_credentials:
        filters = f"{_WITHOUT_PASSWORDS} {filters}"  # libvirt uses the first that matches
    return LogSettings(verbosity, filters)


def _filters(labels: Mapping[str, str], annotations: Mapping[str, str], verbosity: int) -> str:
    own = annotations.get(FILTERS_ANNOTATION, "")
    if own:
        return own
    if verbosity >= _LIBVIRT_FROM:
        return f"{_QUIETER.get(verbosity, _QUIET)} 1:*"
    return f"{_QUIET} 1:*" if labels.get(DEBUG_LABEL, "").lower() == "true" else ""


def log_refusals(labels: Mapping[str, object], annotations: Mapping[str, object]) -> Refusals:
    """One refusal for each value that nobody could follow."""
    label = labels.get(VERBOSITY_LABEL)
    if label is not None and not is_verbosity(str(label)):
        message = f"{str(label)[:63]!r} is not allowed, use 0 to {HIGHEST}"
        yield Refusal(f"metadata.labels.{VERBOSITY_LABEL}", message)
    filters = str(annotations.get(FILTERS_ANNOTATION) or "")
    if filters and not (len(filters) <= _LONGEST and _FILTERS.fullmatch(filters)):
        message = (
            f"{filters[:80]!r} is not allowed, use libvirt's log filters such as '3:remote 1:qemu.qemu_monitor 1:*'"
        )
        yield Refusal(f"metadata.annotations.{FILTERS_ANNOTATION}", message)

"""Settings of virt-launcher: constants of its pod, and the verbosity that the controller sets. Read by __main__."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core import logs
from virt_core.conventions import launcher_pod, verbosity


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs: paths of its container, times in seconds."""

    socket: Path = Path(launcher_pod.LAUNCHER)
    """The unix socket that the handler calls."""

    state_folder: Path = Path(launcher_pod.PRIVATE)
    """Folder of the machine's record; lives as long as the pod."""

    resolv_conf: Path = Path("/etc/resolv.conf")
    """The pod's name servers, passed on to the guest."""

    connection_uri: str = "qemu:///session"
    """URI of the session's libvirtd."""

    hiccup: float = 5.0
    """Seconds; a hypervisor that is silent for less is not reported."""

    heartbeat: float = 10.0
    """Seconds; the longest silence on a watch."""

    watch_lifetime: float = 30 * 60.0
    """Seconds after which the server ends a watch."""

    power_button_interval: float = 5.0
    """Seconds between two presses: a guest that has not loaded its button driver yet misses one."""

    agent_interval: float = 60.0
    """Seconds between two queries of the guest agent."""

    termination_message: Path = Path(launcher_pod.TERMINATION_MESSAGE)
    """The file in which the kubelet reads how the container ended."""


def log_level(environment: Mapping[str, str] = os.environ) -> int:
    """The level of logs that the controller put into the pod's environment."""
    number = environment.get(launcher_pod.VERBOSITY_VARIABLE, "")
    return logs.level_of(int(number) if verbosity.is_verbosity(number) else verbosity.DEFAULT)

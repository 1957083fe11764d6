"""Where things are in the launcher's pod. The paths are a convention with the pod template and the handler."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from virt_core import logs
from virt_core.conventions import launcher_pod, verbosity


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths and times of one launcher.

    Attributes:
        socket: the unix socket on which the handler calls.
        state_folder: where the machine and its history are kept; lives as long as the pod.
        resolv_conf: the pod's name servers, passed on to the guest.
        connection_uri: libvirt's.
        hiccup_s: for how long a silent hypervisor is not worth telling.
        heartbeat_s: the longest silence on a watch.
        watch_lifetime_s: after which the server ends a watch.
        power_button_interval_s: a guest that has not loaded its button driver yet misses a press.
        agent_interval_s: how old what the guest's agent says may become.
        termination_message: where the kubelet reads how the container ended.
    """

    socket: Path = Path(launcher_pod.LAUNCHER)
    state_folder: Path = Path(launcher_pod.PRIVATE)
    resolv_conf: Path = Path("/etc/resolv.conf")
    connection_uri: str = "qemu:///session"
    hiccup_s: float = 5.0
    heartbeat_s: float = 10.0
    watch_lifetime_s: float = 30 * 60.0
    power_button_interval_s: float = 5.0
    agent_interval_s: float = 60.0
    termination_message: Path = Path(launcher_pod.TERMINATION_MESSAGE)


def log_level(environment: Mapping[str, str] = os.environ) -> int:
    """The level of logs that the controller put into the pod's environment."""
    number = environment.get(launcher_pod.VERBOSITY_VARIABLE, "")
    return logs.level_of(int(number) if verbosity.is_verbosity(number) else verbosity.DEFAULT)

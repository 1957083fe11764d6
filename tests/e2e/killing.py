"""The processes of the suite and of guests' launcher pods, to be killed. For end-to-end tests and the demo."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.cluster import NAMESPACE, Process, get, process
from tests.e2e.guests import Guest

COMPONENTS = ("virt-handler", "virt-controller", "virt-api", "virt-operator")


def of_launcher(pattern: str) -> Callable[[list[Guest]], list[Process]]:
    """Find the process whose command line matches in each guest's launcher pod."""

    def find(guests: list[Guest]) -> list[Process]:
        found = [process(guest.pod["metadata"]["uid"], pattern) for guest in guests]
        return [p for p in found if p is not None]

    return find


def of_component(name: str) -> Callable[[list[Guest]], list[Process]]:
    """Find the process of each replica."""

    def find(guests: list[Guest]) -> list[Process]:
        pods = get("pods", "-n", NAMESPACE, "-l", f"kubevirt.io={name}")["items"]
        found = [process(pod["metadata"]["uid"], name.replace("-", "_")) for pod in pods]
        return [p for p in found if p is not None]

    return find


VICTIMS: dict[str, Callable[[list[Guest]], list[Process]]] = {
    "launcher": of_launcher(r"^\S*python.*virt_launcher"),
    "libvirtd": of_launcher(r"^\S*libvirtd"),
    **{name: of_component(name) for name in COMPONENTS},
}


# Their attendants restart these.
SIDECARS: dict[str, Callable[[list[Guest]], list[Process]]] = {
    "console's log": of_launcher(r"^\S*console-log "),
    "containerDisk sidecar": of_launcher(r"^\S*container-disk "),
}


def victims(name: str, guests: list[Guest]) -> list[Process]:
    """The processes to kill: never the supervisor, which is PID 1 of a VM's container."""
    return {**VICTIMS, **SIDECARS}[name](guests)


def are_replaced(name: str, guests: list[Guest], old: set[int]) -> bool:
    """Whether as many processes as in `old` run, and none of them."""
    now = victims(name, guests)
    return len(now) >= len(old) and not old & {victim.pid for victim in now}

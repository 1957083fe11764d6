"""Guests whose annotation, or namespace, names a launcher of another release. Pure; used by guests.py.

virt-controller of the target starts and moves such a guest with that launcher, or refuses to (virt_core's
vmi/launcher_release.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.conventions.releases import OLDEST_LAUNCHER, runs_launcher_of, version_of
from virt_core.vmi.launcher_release import tag_of_machine

from virt_operator.preflight.finding import Finding, Subject, info, warning
from virt_operator.preflight.kinds import Guest, Machine


@dataclass(frozen=True, slots=True)
class Pin:
    """A launcher that is asked for."""

    tag: str
    where: str
    """Which object has the annotation, for messages."""

    release: str
    """The target's; "" if it is not known."""

    @property
    def is_refused(self) -> bool:
        """Whether the target starts no guest with it."""
        return bool(self.release) and not runs_launcher_of(self.release, self.tag)

    @property
    def is_older(self) -> bool:
        """Whether the guest has another QEMU than the target's."""
        return version_of(self.tag) != version_of(self.release)


def pin_of_guest(guest: Guest, defaults: Mapping[str, str], release: str) -> Pin | None:
    """What a VirtualMachineInstance asks for; `defaults` has the annotation of each namespace that has one."""
    return _pin(guest.metadata.annotations.get(LAUNCHER_RELEASE), guest.metadata.namespace, defaults, release)


def pin_of_machine(machine: Machine, defaults: Mapping[str, str], release: str) -> Pin | None:
    """What a VirtualMachine asks for its next start."""
    template = (machine.spec.template.metadata or {}).get("annotations") or {}
    tag = tag_of_machine(template, machine.metadata.annotations)
    return _pin(tag, machine.metadata.namespace, defaults, release)


def _pin(own: str | None, namespace: str, defaults: Mapping[str, str], release: str) -> Pin | None:
    tag = own if own is not None else defaults.get(namespace, "")
    where = "its annotation" if own is not None else f"the annotation of Namespace {namespace}"
    return Pin(tag, where, release) if tag else None


def refused_pin(subject: Subject, pin: Pin) -> Finding:
    """The guest is neither started nor moved as long as this is asked for."""
    message = (
        f"{pin.where} {LAUNCHER_RELEASE} names the launcher {pin.tag}, and {pin.release} starts launchers of at most "
        f"{OLDEST_LAUNCHER} releases before it: starts and moves will be refused; change or remove the annotation"
    )
    return warning(subject, "PinnedLauncherRefused", message)


def pinned(subject: Subject, pin: Pin, what: str) -> Finding:
    """The guest keeps an older launcher."""
    return info(subject, "PinnedLauncher", f"{what} the launcher {pin.tag}, as {pin.where} {LAUNCHER_RELEASE} says")

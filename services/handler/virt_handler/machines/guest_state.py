"""A launcher's report on its guest, sanitized. Pure; called by link.py, used by plan.py and status.py.

The guest's side controls the launcher and the guest agent. So number and length of all values are bounded, addresses
are validated, and texts are printable (hostile_text.py). No decision depends on these texts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from kubevirt.launcher.v1 import guest_pb2, state_pb2

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, TEXT_LENGTH, printable

_INTERFACES, _ADDRESSES, _DISKS = 32, 16, 256  # more than any supported guest has
_MESSAGE_LENGTH = 4096  # everything that a helper program wrote; a condition's message may have 32768
_LARGEST_SIZE = (1 << 63) - 1  # the CRD's int64: a larger value would make the API server refuse every patch


@dataclass(frozen=True, slots=True)
class GuestInterface:
    """A network card as seen by the guest."""

    name: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentState:
    """The guest agent's last report."""

    os: tuple[tuple[str, str], ...] = ()
    """KubeVirt's names and values, without empty ones."""
    interfaces: tuple[GuestInterface, ...] = ()
    frozen: bool = False

    @classmethod
    def from_message(cls, agent: guest_pb2.GuestAgent) -> AgentState:
        """From the wire."""
        named = {
            "id": agent.os.id,
            "name": agent.os.name,
            "prettyName": agent.os.pretty_name,
            "version": agent.os.version,
            "versionId": agent.os.version_id,
            "kernelRelease": agent.os.kernel_release,
            "kernelVersion": agent.os.kernel_version,
            "machine": agent.os.machine,
        }
        cards = (
            GuestInterface(_text(interface.name), _text(interface.mac_address).lower(), _addresses(interface.addresses))
            for interface in agent.interfaces[:_INTERFACES]
        )
        known = tuple((name, _text(value)) for name, value in named.items() if value)
        return cls(known, tuple(cards), agent.filesystems_frozen)


@dataclass(frozen=True, slots=True)
class DiskState:
    """A disk of the running machine."""

    name: str
    target: str
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class CredentialsState:
    """Whether the guest has the credentials that its agent sets."""

    progress: state_pb2.CredentialsProgress.ValueType
    message: str = ""


@dataclass(frozen=True, slots=True)
class GuestState:
    """A launcher's report on its guest. Hostile: only compared and shown."""

    machine_uid: str
    phase: state_pb2.MachinePhase.ValueType
    end: state_pb2.MachineEnd.ValueType = state_pb2.MACHINE_END_UNSPECIFIED
    message: str = ""
    pause_reason: state_pb2.PauseReason.ValueType = state_pb2.PAUSE_REASON_UNSPECIFIED
    failed_disk: str = ""
    agent: AgentState | None = None
    disks: tuple[DiskState, ...] = ()
    machine_type: str = ""
    credentials: CredentialsState | None = None

    @classmethod
    def from_message(cls, state: state_pb2.MachineState) -> GuestState:
        """From the wire."""
        disks = (
            DiskState(_text(d.name), _text(d.target), min(d.capacity_bytes, _LARGEST_SIZE))
            for d in state.disks[:_DISKS]
        )
        reported = state.credentials
        credentials = CredentialsState(reported.progress, printable(reported.message, MESSAGE_LENGTH))
        return cls(
            state.machine_uid,
            state.phase,
            state.end,
            printable(state.message, _MESSAGE_LENGTH),
            state.pause_reason,
            _text(state.failed_disk),
            AgentState.from_message(state.agent) if state.HasField("agent") else None,
            tuple(disks),
            _text(state.machine_type),
            credentials if state.HasField("credentials") else None,
        )


def _text(value: str) -> str:
    return printable(value, TEXT_LENGTH)


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(found for value in list(values)[:_ADDRESSES] if (found := _address(value)))


def _address(value: str) -> str:
    """The address in its usual notation; empty if it is invalid. Removes an IPv6 zone (RFC 4007), which may be any text
    of any length and has a meaning in the guest only."""
    address, _, _ = value.partition("%")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""

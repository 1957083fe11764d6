"""A launcher's report on its guest, made harmless. Pure; called by link.py, reasoned about by plan.py and status.py.

A launcher is the guest's side, and the agent's answers come from whoever rules the guest. So everything is bounded in
number and length, addresses are addresses, and texts are printable (hostile_text.py); none of it is ever acted on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from kubevirt.launcher.v1 import guest_pb2, state_pb2

from virt_handler.machines.hostile_text import MESSAGE_LENGTH, TEXT_LENGTH, printable

_INTERFACES, _ADDRESSES, _DISKS = 32, 16, 256  # more than any guest of ours has
_LARGEST_SIZE = (1 << 63) - 1  # int64, what the CRD takes: one value too large would have every patch refused


@dataclass(frozen=True, slots=True)
class GuestInterface:
    """A card as the guest sees it."""

    name: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentState:
    """The guest agent's word."""

    os: tuple[tuple[str, str], ...] = ()
    """KubeVirt's names and values, those that are there."""
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

    @classmethod
    def from_message(cls, state: state_pb2.MachineState) -> GuestState:
        """From the wire."""
        disks = (
            DiskState(_text(d.name), _text(d.target), min(d.capacity_bytes, _LARGEST_SIZE))
            for d in state.disks[:_DISKS]
        )
        return cls(
            state.machine_uid,
            state.phase,
            state.end,
            printable(state.message, MESSAGE_LENGTH),
            state.pause_reason,
            _text(state.failed_disk),
            AgentState.from_message(state.agent) if state.HasField("agent") else None,
            tuple(disks),
            _text(state.machine_type),
        )


def _text(value: str) -> str:
    return printable(value, TEXT_LENGTH)


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(found for value in list(values)[:_ADDRESSES] if (found := _address(value)))


def _address(value: str) -> str:
    """The address as it is usually written; empty if it is none. An IPv6 zone (RFC 4007) may be any text of any length,
    and means something to the guest alone: it goes."""
    address, _, _ = value.partition("%")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""

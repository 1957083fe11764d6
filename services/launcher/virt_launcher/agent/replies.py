"""Parses the guest agent's responses into the contract's messages. Pure; called by keeper.py.

The guest controls the responses. Their size, the length of lists and the number of printable characters in strings are
bounded; a value whose type differs from the protocol (QEMU's qga-schema) counts as absent.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from kubevirt.launcher.v1 import guest_pb2

from virt_launcher.errors import AgentRefused

_LONGEST_REPLY = 1 << 20
_LONGEST_STRING = 256
_MOST_INTERFACES, _MOST_ADDRESSES = 32, 16
_MOST_USERS, _MOST_FILESYSTEMS, _MOST_DISKS, _MOST_COMMANDS = 64, 128, 16, 256
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_COMMAND = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST_COUNT = 2**63 - 1

FROZEN, THAWED = "frozen", "thawed"


def returned(reply: str) -> Any:
    """The return value in a response.

    Raises:
        AgentRefused: it is not a valid response.
    """
    if len(reply) > _LONGEST_REPLY:
        raise AgentRefused(f"the guest agent's reply has {len(reply)} characters, more than {_LONGEST_REPLY}")
    try:
        parsed = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise AgentRefused("the guest agent's reply is not JSON") from error
    if not isinstance(parsed, dict) or "return" not in parsed:
        raise AgentRefused("the guest agent's reply returns nothing")
    return parsed["return"]


def version(info: Any) -> str:
    """Of guest-info."""
    return _text(info, "version")


def commands(info: Any) -> list[guest_pb2.GuestAgentCommand]:
    """Of guest-info."""
    found = []
    for entry in _list(info, "supported_commands", _MOST_COMMANDS):
        name = _text(entry, "name")
        if _COMMAND.fullmatch(name):
            found.append(guest_pb2.GuestAgentCommand(name=name, enabled=_get(entry, "enabled") is True))
    return found


def operating_system(info: Any) -> guest_pb2.GuestOs:
    """Of guest-get-osinfo."""
    return guest_pb2.GuestOs(
        id=_text(info, "id"),
        name=_text(info, "name"),
        pretty_name=_text(info, "pretty-name"),
        version=_text(info, "version"),
        version_id=_text(info, "version-id"),
        kernel_release=_text(info, "kernel-release"),
        kernel_version=_text(info, "kernel-version"),
        machine=_text(info, "machine"),
    )


def host_name(answer: Any) -> str:
    """Of guest-get-host-name."""
    return _text(answer, "host-name")


def interfaces(answer: Any) -> list[guest_pb2.GuestInterface]:
    """Of guest-network-get-interfaces, without the loopback."""
    found = []
    for entry in _items(answer, _MOST_INTERFACES):
        name, mac = _text(entry, "name"), _text(entry, "hardware-address").lower()
        if name == "lo" or not _MAC.fullmatch(mac):
            continue
        addresses = [_text(address, "ip-address") for address in _list(entry, "ip-addresses", _MOST_ADDRESSES)]
        valid = [address for address in addresses if _is_address(address)]
        found.append(guest_pb2.GuestInterface(name=name, mac_address=mac, addresses=valid))
    return found


def frozen(answer: Any) -> bool:
    """Of guest-fsfreeze-status."""
    return bool(answer == FROZEN)


def timezone(answer: Any) -> str:
    """Of guest-get-timezone, for example "CET, 3600"."""
    return f"{_text(answer, 'zone')}, {_count(answer, 'offset', lowest=-_LARGEST_COUNT)}"


def users(answer: Any) -> list[guest_pb2.GuestUser]:
    """Of guest-get-users."""
    found = []
    for entry in _items(answer, _MOST_USERS):
        login = _get(entry, "login-time")
        since = float(login) if isinstance(login, int | float) and abs(login) < _LARGEST_COUNT else 0.0
        found.append(guest_pb2.GuestUser(name=_text(entry, "user"), domain=_text(entry, "domain"), login_time=since))
    return found


def filesystems(answer: Any) -> list[guest_pb2.GuestFilesystem]:
    """Of guest-get-fsinfo."""
    return [
        guest_pb2.GuestFilesystem(
            name=_text(entry, "name"),
            mount_point=_text(entry, "mountpoint"),
            type=_text(entry, "type"),
            used_bytes=_count(entry, "used-bytes"),
            total_bytes=_count(entry, "total-bytes"),
            disks=[
                guest_pb2.GuestDisk(bus_type=_text(disk, "bus-type"), serial=_text(disk, "serial"))
                for disk in _list(entry, "disk", _MOST_DISKS)
            ],
        )
        for entry in _items(answer, _MOST_FILESYSTEMS)
    ]


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: Any, key: str) -> str:
    found = _get(value, key)
    if not isinstance(found, str):
        return ""
    return "".join(character for character in found[:_LONGEST_STRING] if character.isprintable())


def _count(value: Any, key: str, lowest: int = 0) -> int:
    found = _get(value, key)
    return found if type(found) is int and lowest <= found <= _LARGEST_COUNT else 0


def _items(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _list(value: Any, key: str, most: int) -> list[Any]:
    return _items(_get(value, key), most)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

"""Checks of single values. Each raises InvalidField with the field's path in the machine. Used by the other modules of
this package. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from virt_core.rpc.errors import InvalidField

DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ
LINE = re.compile(r"[\x20-\x7e]*")
PATH = re.compile(r"/[\x21-\x7e]{1,106}")  # 107: the longest unix socket
_ABSOLUTE = re.compile(r"/[\x20-\x7e]{1,4094}")  # PATH_MAX


def require(valid: bool, field: str, value: object, allowed: str) -> None:
    """Raises InvalidField unless `valid`."""
    if not valid:
        raise InvalidField(f"machine.{field}", value, allowed)


def matches(pattern: re.Pattern[str], field: str, value: str, allowed: str) -> None:
    """Require that the whole value matches."""
    require(pattern.fullmatch(value) is not None, field, value, allowed)


def specified(enum: Any, field: str, number: int) -> None:
    """Require a value of the generated `enum` that the contract defines, and not UNSPECIFIED."""
    names = [name for name, value in enum.items() if value]
    require(number in enum.values() and number != 0, field, number, " or ".join(names))


def unix_socket(field: str, value: str) -> None:
    """Require a path on which a socket can be bound."""
    matches(PATH, field, value, "an absolute path of 107 characters at most")


def absolute(field: str, value: str) -> None:
    """Require an absolute path without "..", of any length that the kernel accepts."""
    matches(_ABSOLUTE, field, value, "an absolute path in printable ASCII")
    require(".." not in value.split("/"), field, value, "a path without ..")


def distinct(fields: Iterable[tuple[str, object]]) -> None:
    """Require that these fields have different values."""
    seen: set[object] = set()
    for field, value in fields:
        require(value not in seen, field, value, "a value that no other has")
        seen.add(value)


def is_ipv4(value: str) -> bool:
    """Whether this is an IPv4 address."""
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return False
    return True

"""Converts values of a contract's enums to the words of KubeVirt's API and libvirt: DISK_CACHE_WRITEBACK is
"writeback". Pure; called by the handler, which translates a spec, and by the launcher, which writes XML.

The enum names in the .proto files are chosen accordingly, so no other table of words is needed.
"""

from __future__ import annotations

from typing import Any


def word(enum: Any, number: int) -> str:
    """The word for a value of `enum`, a generated enum.

    Raises:
        ValueError: the contract has no such value.
    """
    name: str = enum.Name(number)
    return name.removeprefix(_prefix(enum)).lower()


def number(enum: Any, word: str) -> Any:
    """The value of `enum` for a word.

    Raises:
        ValueError: the contract has no value for it.
    """
    return enum.Value(_prefix(enum) + word.upper())


def _prefix(enum: Any) -> str:
    unspecified: str = enum.Name(0)
    return unspecified.removesuffix("UNSPECIFIED")

"""Text for people. Pure; used by whatever shows something.

Names, messages and events come from users, guests and registries. A terminal obeys control characters, so none of them
reaches it, and none that turns the direction of writing.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from virt_core.objects.meta import seconds_since

_MOST = 2000  # letters of one text; an event's note has 1024 at most, a condition's message 32768
_CONTROLS = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # Unicode's categories: controls, formats, surrogates, separators


def clean(text: str, most: int = _MOST) -> str:
    """`text` as one line that a terminal cannot obey: line breaks and tabs become spaces, other controls are shown
    as escapes."""
    shown = "".join(map(_letter, text[:most]))
    return " ".join(shown.split()) + ("…" if len(text) > most else "")


def clean_line(line: str) -> str:
    """The line without controls but for its indentation, a tab."""
    return f"    {clean(line)}" if line.startswith("\t") else clean(line)


def _letter(letter: str) -> str:
    if letter in "\n\r\t":
        return " "
    if unicodedata.category(letter) in _CONTROLS:
        return f"\\u{{{ord(letter):x}}}"
    return letter


def age(since: str | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: "40s", "3m", "2h", "5d"; "" if it is unknown."""
    if not since:
        return ""
    seconds = int(seconds_since(since, now))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def to_json(value: Any) -> str:
    """`value` as one line of JSON, ASCII only: a terminal cannot obey it either."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=True)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Some of `names`, with how many there are besides: "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"

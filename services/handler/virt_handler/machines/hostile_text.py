"""Texts that launchers and guests send, made harmless. Pure; called by guest_state.py, reconcile.py and service/.

They end up in conditions, events and logs, and from there on people's terminals: so they are cut to a length, and
control characters, line breaks and Unicode's invisible format characters (bidirectional overrides) are dropped.
"""

from __future__ import annotations

MESSAGE_LENGTH = 500  # characters; a VMI has few messages, and a condition's may have 32768
TEXT_LENGTH = 128
_REASON_LENGTH = 64


def printable(text: str, length: int) -> str:
    """`text` on one line of at most `length` characters, printable ones only."""
    words = " ".join(text[: 4 * length].split())
    return "".join(character for character in words if character.isprintable())[:length]


def condition_reason(word: str) -> str:
    """UNSUPPORTED_BY_PEER as a condition's reason: UnsupportedByPeer. Anything but ASCII letters and digits goes."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in word[:_REASON_LENGTH])
    reason = "".join(part.capitalize() for part in kept.split())
    return reason if reason[:1].isalpha() else f"Refused{reason}"

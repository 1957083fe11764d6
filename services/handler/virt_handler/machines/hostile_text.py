"""Sanitizes texts from launchers and guests. Pure; called by guest_state.py, reconcile.py and service/.

Such texts appear in conditions, events and logs, and from there in terminals. So they are truncated, and control
characters, line breaks and Unicode's invisible format characters (bidirectional overrides) are removed.
"""

from __future__ import annotations

MESSAGE_LENGTH = 500  # characters; a VMI has few messages, and a condition's may have 32768
TEXT_LENGTH = 128
_REASON_LENGTH = 64


def printable(text: str, length: int) -> str:
    """`text` as a line of at most `length` printable characters."""
    words = " ".join(text[: 4 * length].split())
    return "".join(character for character in words if character.isprintable())[:length]


def condition_reason(word: str) -> str:
    """A word as a condition's reason: UNSUPPORTED_BY_PEER is UnsupportedByPeer. Only ASCII letters and digits
    remain."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in word[:_REASON_LENGTH])
    reason = "".join(part.capitalize() for part in kept.split())
    return reason if reason[:1].isalpha() else f"Refused{reason}"

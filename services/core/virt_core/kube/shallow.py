"""Splits a list of objects without decoding them, for a list with an object that is nested too deeply. Pure.

Called by messages.py when decoding a list has failed. Python 3.13 allows C code 10,000 levels, as many as an API
server stores in one object, and the list itself adds some. Such an object must not hide the other objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Whole strings, because they may contain any of the other tokens.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)


def parts(text: bytes) -> Iterator[bytes]:
    """The text between the commas of a JSON array or object."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        sign = token.group()
        if sign in (b"[", b"{"):
            depth += 1
            if depth == 1:
                start = token.end()
        elif sign in (b"]", b"}"):
            depth -= 1
            if depth == 0 and (last := text[start : token.start()].strip()):
                yield last
        elif sign == b"," and depth == 1:
            yield text[start : token.start()].strip()
            start = token.end()


def members(text: bytes) -> dict[str, bytes]:
    """The members of a JSON object by name, for names without escapes."""
    pairs = (part.partition(b":") for part in parts(text))
    return {name.strip(b'" \n').decode(): value.strip() for name, _, value in pairs}

"""What a QEMU that died wrote last, from the end of libvirt's log of it. Called by machine/execute.py.

The log begins with libvirt's line of the start and QEMU's command, a line for each variable and option. What QEMU
writes to its standard error follows: a guest may cause some of it, and no line is trusted. libvirt ends it with the
reason that it knows (qemuLogTimestamp and qemuDomainLogAppendMessage of libvirt).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_TAIL = 8192  # bytes; the command of a machine with many disks is longer, and cut
_LINES, _LENGTH = 2, 200  # at most, and characters of each: its beginning says where in QEMU

_OF_LIBVIRT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: ")
_OF_COMMAND = re.compile(r"[A-Z_]+=.*|-\w.*|.* \\")
_NO_REASON = re.compile(r"char device redirected to |.*: warning: ")
_TIME_AND_PROGRAM = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z )?(/usr/bin/)?qemu-system-x86_64: ")


def last_words(log: Path) -> str:
    """At most 402 printable characters, "" if QEMU wrote nothing or the log cannot be read. Blocks."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return words_in(file.read(_TAIL).decode(errors="replace"))
    except OSError:
        return ""


def words_in(tail: str) -> str:
    """The last lines that QEMU wrote by itself, without their time, joined by "; "."""
    lines = [
        "".join(letter if letter.isprintable() else " " for letter in _TIME_AND_PROGRAM.sub("", line, count=1)).strip()
        for line in tail.split("\n")
        if not (_OF_LIBVIRT.match(line) or _OF_COMMAND.fullmatch(line) or _NO_REASON.match(line))
    ]
    return "; ".join([line[:_LENGTH] for line in lines if line][-_LINES:])

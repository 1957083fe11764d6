"""The smallest disk that boots: its first sector is a program for the BIOS. Used by test_disks.py.

It reads the second sector, writes it to the third one, and prints it on the first serial port if both went well.
"""

from __future__ import annotations

SECTOR = 512
_PROGRAM = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c"  # all segments 0, the stack below this program
    "b80102 b90200 b600 bb007e cd13 7229"  # int 13h: read sector 2 of the disk that was booted; on an error, halt
    "b80103 b90300 b600 bb007e cd13 721a"  # write it to sector 3; on an error, halt
    "be007e ac 84c0 7406 baf803 ee ebf5"  # print until a zero: out dx, al
    "b486 b90100 baa086 cd15 ebe6"  # int 15h: wait for 0.1 s, and print again, for whoever opens the console late
    "f4 ebfd"  # halt
)


def bootable(text: str, size: int = 1 << 20) -> bytes:
    """A raw disk image that prints `text`."""
    sector = _PROGRAM.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
    return (sector + text.encode()).ljust(size, b"\0")


def was_written(image: bytes) -> bool:
    """Whether the program wrote what it read."""
    return image[2 * SECTOR : 3 * SECTOR] == image[SECTOR : 2 * SECTOR]

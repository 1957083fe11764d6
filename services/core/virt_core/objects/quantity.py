"""Kubernetes quantities ("64Mi", "1.5G", "2000m"). Pure. Source: apimachinery's resource.Quantity format."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from math import ceil

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "E": Decimal("1e18"), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_NUMBER = r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))"
_FORMAT = re.compile(_NUMBER + r"(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?")
_EXACT = Context(prec=100)  # 60 digits times an Ei's 19; the default context would round to 28


def parse_quantity(text: str) -> Decimal:
    """The number that `text` stands for.

    Raises:
        ValueError: `text` is not a quantity.
    """
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity, use a number with a suffix such as Mi, Gi, M, G or m")
    number, suffix, exponent = match.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent), _EXACT)
    return _EXACT.multiply(Decimal(number), _SUFFIXES[suffix or ""])


def parse_bytes(text: str) -> int:
    """A quantity as a whole number, rounded up as Kubernetes does."""
    return ceil(parse_quantity(text))


def binary_quantity(size: int) -> str:
    """A number of bytes in the largest binary unit that divides it, as Kubernetes writes it: "1536Mi"."""
    unit = ""
    for larger in ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"):
        if size == 0 or size % 1024:
            break
        size, unit = size // 1024, larger
    return f"{size}{unit}"

"""The rules by which the suite's CA issues leaf certificates: JSON next to the CA bundle. Pure.

Written by virt_operator's certificates; read there and by virt-handler, which renews its own leaf because its key never
leaves its pod.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

ISSUING = "issuing.json"
"""The key in a Secret, and so the name of the file."""

CLOCK_SKEW = timedelta(minutes=5)
"""Certificates begin so much before they are issued: clocks of nodes need not agree."""


class Issuing(msgspec.Struct, frozen=True, rename="camel"):
    """Required properties of a leaf certificate."""

    signer: str = ""
    """SHA-256 of the DER of the authority that signs now, in lower-case hexadecimal; a leaf of another one is due."""

    duration: float = 24 * 3600.0
    """Lifetime of a leaf in seconds; a leaf that lives longer is renewed."""

    renew_before: float = 12 * 3600.0
    """Seconds from a leaf's renewal to its expiry."""

    def renewal(self, begin: datetime, end: datetime) -> datetime:
        """When to renew a leaf issued at `begin`. Proportionally sooner if the CA's expiry shortens its life."""
        life = end - begin
        if life.total_seconds() > self.duration + 60:
            return begin
        return end - life * (self.renew_before / self.duration)


def read_issuing(text: bytes | str) -> Issuing:
    """The rules in `text`; the defaults if it is empty or cannot be decoded."""
    try:
        return msgspec.json.decode(text, type=Issuing)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Issuing()

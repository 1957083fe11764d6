"""How the suite's authority issues leaves, as the operator tells whoever renews its own: JSON beside the bundle.

Written by virt_operator's certificates; read there and by virt-handler, whose keys never leave their pods. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

ISSUING = "issuing.json"
"""The key in a Secret, and so the name of the file."""

CLOCK_SKEW = timedelta(minutes=5)
"""Certificates begin so much before they are issued: clocks of nodes need not agree."""


class Issuing(msgspec.Struct, frozen=True, rename="camel"):
    """What is wanted of a leaf now."""

    signer: str = ""
    """SHA-256 of the DER of the authority that signs now, in lower-case hexadecimal; a leaf of another one is due."""

    duration: float = 24 * 3600.0
    """Seconds that a leaf lives; one that lives longer is due."""

    renew_before: float = 12 * 3600.0
    """Seconds from its renewal to its end."""

    def renewal(self, begin: datetime, end: datetime) -> datetime:
        """When a leaf issued at `begin` is due; one that its authority's end cut short, proportionally sooner."""
        life = end - begin
        if life.total_seconds() > self.duration + 60:
            return begin
        return end - life * (self.renew_before / self.duration)


def read_issuing(text: bytes | str) -> Issuing:
    """The defaults where there is nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(text, type=Issuing)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Issuing()

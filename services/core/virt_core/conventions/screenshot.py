"""How large the picture of a guest's display may be. Pure.

The launcher makes none that is larger, the handler and virt-api refuse one; both calls carry it in one message.
"""

from __future__ import annotations

LARGEST_PICTURE = 16 << 20
"""Bytes of PNG: handler/v1 and launcher/v1 say so."""

LARGEST_MESSAGE = LARGEST_PICTURE + (1 << 20)
"""Bytes of a gRPC message with a picture in it."""

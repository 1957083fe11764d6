"""Limits the size of responses before they are decoded, for peers that are not trusted.

A channel's own limit is that of its largest method, for example of a picture. As many bytes of empty entries take
thirty times their size as messages, so each other method needs a smaller one. Used by peer.py and by the handler for
launchers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Decode = Callable[[bytes], Any]


class BoundedChannel:
    """Makes a stub: pass it instead of the channel. A response that is larger counts as one that does not decode."""

    def __init__(self, channel: Any, most: int, others: Mapping[str, int] | None = None) -> None:
        """`most` are the bytes of a response, `others` those of single methods, by their names."""
        self._channel = channel
        self._most = most
        self._others = others or {}

    def unary_unary(self, method: str, response_deserializer: Decode, **options: Any) -> Any:
        """As the channel's."""
        return self._channel.unary_unary(
            method, response_deserializer=self._bounded(method, response_deserializer), **options
        )

    def unary_stream(self, method: str, response_deserializer: Decode, **options: Any) -> Any:
        """As the channel's."""
        decode = self._bounded(method, response_deserializer)
        return self._channel.unary_stream(method, response_deserializer=decode, **options)

    def _bounded(self, method: str, decode: Decode) -> Decode:
        most = self._others.get(method.rpartition("/")[2], self._most)

        def decoded(content: bytes) -> Any:
            if len(content) > most:
                raise ValueError(f"{method}: {len(content)} bytes")  # gRPC makes a message of it that does not decode
            return decode(content)

        return decoded

"""Messages that change a guest are understood whole or refused, by sender and by receiver.

The sender asks `require_supported` before it sends (peer.py does), the receiver asks `refuse_unknown` before it acts
(server.py's interceptor does). Both name the field's path. Source of the options: info/v1/must_understand.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from kubevirt.info.v1 import must_understand_pb2

from virt_core.rpc.errors import UnsupportedByPeer


def is_must_understand(message: Message) -> bool:
    """Whether the message's type carries the option."""
    return bool(message.DESCRIPTOR.GetOptions().Extensions[must_understand_pb2.must_understand])


def require_supported(message: Message, peer_features: Set[str], peer: str) -> None:
    """Refuse to send `message` if a field set in it, at any depth, needs a feature that the peer lacks.

    Raises:
        UnsupportedByPeer: naming the field's path, the feature and `peer`.
    """
    for path, descriptor in _set_fields(message, message.DESCRIPTOR.name):
        feature = descriptor.GetOptions().Extensions[must_understand_pb2.feature]
        if feature and feature not in peer_features:
            raise UnsupportedByPeer(f"{peer} does not support {path} (feature {feature!r})", field=path)


def refuse_unknown(message: Message) -> None:
    """Refuse a received `message` that carries a field which this release does not know, at any depth.

    Raises:
        UnsupportedByPeer: naming the path by field number, for this release has no name for it.
    """
    for path in _unknown_fields(message, message.DESCRIPTOR.name):
        raise UnsupportedByPeer(f"this release does not know {path}", field=path)


def _set_fields(message: Message, path: str) -> Iterator[tuple[str, FieldDescriptor]]:
    for descriptor, value in message.ListFields():
        here = f"{path}.{descriptor.name}"
        yield here, descriptor
        for suffix, child in _children(descriptor, value):
            yield from _set_fields(child, here + suffix)


def _unknown_fields(message: Message, path: str) -> Iterator[str]:
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined]
        yield f"{path}.{unknown.field_number}"
    for descriptor, value in message.ListFields():
        for suffix, child in _children(descriptor, value):
            yield from _unknown_fields(child, f"{path}.{descriptor.name}{suffix}")


def _children(descriptor: FieldDescriptor, value: object) -> Iterator[tuple[str, Message]]:
    if isinstance(value, Message):
        yield "", value
    elif descriptor.message_type is None:
        return
    elif descriptor.message_type.GetOptions().map_entry:
        for key, entry in value.items():  # type: ignore[attr-defined]
            if isinstance(entry, Message):
                yield f"[{key}]", entry
    else:
        for index, entry in enumerate(value):  # type: ignore[arg-type]
            yield f"[{index}]", entry

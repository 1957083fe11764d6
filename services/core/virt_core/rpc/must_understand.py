"""Must-understand: sender and receiver refuse a message of which the receiver does not support every field.

The sender calls `require_supported` before it sends (peer.py), the receiver calls `refuse_unknown` before it acts
(server.py's interceptor). Both name the field's path. Source of the options: contract/v1/options.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from google.protobuf.descriptor import EnumValueDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from kubevirt.contract.v1 import options_pb2

from virt_core.rpc.errors import UnsupportedByPeer


def is_must_understand(message: Message) -> bool:
    """Whether the message's type carries the option."""
    return bool(message.DESCRIPTOR.GetOptions().Extensions[options_pb2.must_understand])


def require_supported(message: Message, peer_features: Set[str], peer: str) -> None:
    """Refuse to send `message` if a field or enum value set in it, at any depth, needs a feature that the peer lacks.

    Raises:
        UnsupportedByPeer: naming the field's path, the feature and `peer`.
    """
    for path, descriptor, value in _set_fields(message, message.DESCRIPTOR.name):
        feature = descriptor.GetOptions().Extensions[options_pb2.feature]
        if feature and feature not in peer_features:
            raise UnsupportedByPeer(f"{peer} does not support {path} (feature {feature!r})", field=path)
        for place, known, _ in _enum_values(path, descriptor, value):
            feature = known.GetOptions().Extensions[options_pb2.value_feature] if known is not None else ""
            if known is not None and feature and feature not in peer_features:
                what = f"{place} {known.name} (feature {feature!r})"
                raise UnsupportedByPeer(f"{peer} does not support {what}", field=place)


def refuse_unknown(message: Message) -> None:
    """Refuse a received `message` that carries a field or enum value which this release does not know, at any depth.

    Raises:
        UnsupportedByPeer: with the path; a field that this release does not know appears as its number.
    """
    for path in _unknown_fields(message, message.DESCRIPTOR.name):
        raise UnsupportedByPeer(f"this release does not know {path}", field=path)
    for path, descriptor, value in _set_fields(message, message.DESCRIPTOR.name):
        for place, known, number in _enum_values(path, descriptor, value):
            if known is None:
                raise UnsupportedByPeer(f"this release does not know the value {number} of {place}", field=place)


def _set_fields(message: Message, path: str) -> Iterator[tuple[str, FieldDescriptor, object]]:
    for descriptor, value in message.ListFields():
        here = f"{path}.{descriptor.name}"
        yield here, descriptor, value
        for suffix, child in _children(descriptor, value):
            yield from _set_fields(child, here + suffix)


def _enum_values(
    path: str, descriptor: FieldDescriptor, value: object
) -> Iterator[tuple[str, EnumValueDescriptor | None, int]]:
    """For a field of an enum: the path of each value, its descriptor if this release knows it, and its number."""
    enum = descriptor.enum_type
    if enum is None:
        return
    if isinstance(value, int):
        yield path, enum.values_by_number.get(value), value
    elif isinstance(value, Iterable):
        for index, number in enumerate(value):
            yield f"{path}[{index}]", enum.values_by_number.get(number), number


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

"""Lists and watch events of the API server, decoded as far as a reflector needs them. Pure; called by reflector.py
and by those who list once.

Objects stay raw, so that an object that does not decode affects no other object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from virt_core.kube.shallow import members, parts

T = TypeVar("T")
Undecodable = tuple[tuple[str, str] | None, str]
"""The key of an object, None if that does not decode either, and why."""


class ListMeta(msgspec.Struct, rename="camel"):
    """The version of a list or a bookmark."""

    resource_version: str = ""
    following: str = msgspec.field(default="", name="continue")
    """What to ask for to get the next page of a list; "" on the last one."""


class ObjectList(msgspec.Struct):
    """The answer to a list."""

    metadata: ListMeta
    items: list[msgspec.Raw]


class WatchEvent(msgspec.Struct):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct):
    """The object of an event of type ERROR."""

    code: int = 0
    message: str = ""


class Bookmark(msgspec.Struct):
    """The object of an event of type BOOKMARK."""

    metadata: ListMeta


class Identity(msgspec.Struct, rename="camel"):
    """The fields of metadata that the API server sets itself, so they are valid whatever the rest of the object
    holds."""

    name: str
    namespace: str = ""
    resource_version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class _Identified(msgspec.Struct):
    metadata: Identity


def identity_of(raw: msgspec.Raw) -> Identity:
    """Which object it is, and its version.

    Raises:
        msgspec.ValidationError, RecursionError: its metadata does not decode.
    """
    return msgspec.json.decode(raw, type=_Identified).metadata


def read_list(text: bytes) -> ObjectList:
    """The list, also if an object in it is nested too deeply for the decoder."""
    try:
        return msgspec.json.decode(text, type=ObjectList)
    except RecursionError:
        found = members(text)
        metadata = msgspec.json.decode(found["metadata"], type=ListMeta)
        return ObjectList(metadata, [msgspec.Raw(raw) for raw in parts(found["items"])])


def key_of(raw: msgspec.Raw) -> tuple[str, str] | None:
    """Namespace and name of an object, if its metadata decodes."""
    try:
        return identity_of(raw).key
    except (msgspec.ValidationError, RecursionError):
        return None


def decoded(raws: Iterable[msgspec.Raw], kind: type[T]) -> tuple[list[T], list[Undecodable]]:
    """The objects that decode, and the others."""
    decoder, found, others = msgspec.json.Decoder(kind), list[T](), list[Undecodable]()
    for raw in raws:
        try:
            found.append(decoder.decode(raw))
        except (msgspec.ValidationError, RecursionError) as error:
            others.append((key_of(raw), str(error) or type(error).__name__))
    return found, others

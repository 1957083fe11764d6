"""Whether the protos of a tree keep those of a released one: `buf breaking`, and what buf cannot know of our options.

A new field or enum value of a must-understand message, at any depth, names its feature; a released one keeps the name
that it has; `info/v1` is frozen. Called by contracts.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from kubevirt.contract.v1 import options_pb2

_FROZEN = "kubevirt/info/v1/"


def problems(baseline: Path, current: Path) -> list[str]:
    """What breaks peers of the released protos in `baseline`. Both are folders with a buf.yaml."""
    argv = ["buf", "breaking", "--against", str(baseline.resolve())]
    done = subprocess.run(argv, cwd=current, capture_output=True, text=True, check=False)
    found = (done.stdout + done.stderr).splitlines()
    if done.returncode and not found:
        found = [f"buf ended with {done.returncode}"]
    try:
        before, now = descriptors(baseline), descriptors(current)
    except ValueError as error:
        return [*found, *str(error).splitlines()]
    return [*found, *_features(before, now), *_frozen(before, now)]


def descriptors(folder: Path) -> FileDescriptorSet:
    """Of all files in a folder, and of what they import. Raises ValueError if they do not compile."""
    argv = ["buf", "build", "--exclude-source-info", "--output", "-#format=binpb"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode().strip() or f"buf build ended with {done.returncode}")
    return FileDescriptorSet.FromString(done.stdout)


def _features(before: FileDescriptorSet, now: FileDescriptorSet) -> Iterator[str]:
    old_messages, new_messages = dict(_messages(before)), dict(_messages(now))
    old_enums, new_enums = dict(_enums(before)), dict(_enums(now))
    for name in sorted(old_messages.keys() & new_messages.keys()):
        old, new = (m[name].options.Extensions[options_pb2.must_understand] for m in (old_messages, new_messages))
        if old is not new:
            yield f"{name}: must_understand was {_word(old)} and is {_word(new)}"
    understood = _reachable(old_messages)
    for name in sorted(understood & new_messages.keys()):
        kept = {field.number: field for field in old_messages[name].field}
        for field in new_messages[name].field:
            feature = field.options.Extensions[options_pb2.feature]
            released = kept[field.number].options.Extensions[options_pb2.feature] if field.number in kept else None
            yield from _named(f"{name}.{field.name}", released, feature)
    for name in sorted(understood & new_enums.keys()):
        values = {value.number: value for value in old_enums[name].value}
        for value in new_enums[name].value:
            feature = value.options.Extensions[options_pb2.value_feature]
            known = value.number in values
            released = values[value.number].options.Extensions[options_pb2.value_feature] if known else None
            yield from _named(f"{name}.{value.name}", released, feature)


def _named(what: str, released: str | None, feature: str) -> Iterator[str]:
    """`released`: the feature that a release names; None if it does not have `what`."""
    if released is None and not feature:
        yield f"{what}: is new in a must-understand message and names no feature"
    elif released is not None and feature != released:
        yield f"{what}: its feature was {released!r} and is {feature!r}"


def _frozen(before: FileDescriptorSet, now: FileDescriptorSet) -> Iterator[str]:
    ours = {file.name: file for file in now.file}
    for file in before.file:
        if file.name.startswith(_FROZEN) and file != ours.get(file.name):
            yield f"{file.name}: is frozen and has changed"


def _reachable(messages: dict[str, DescriptorProto]) -> set[str]:
    """Names of must-understand messages and of all messages and enums in them, at any depth."""
    found: set[str] = set()
    waiting = [name for name, message in messages.items() if message.options.Extensions[options_pb2.must_understand]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [_type(field) for field in messages[name].field if field.type_name] if name in messages else []
    return found


def _type(field: FieldDescriptorProto) -> str:
    return field.type_name.removeprefix(".")


def _messages(files: FileDescriptorSet) -> Iterator[tuple[str, DescriptorProto]]:
    for file in files.file:
        for message in file.message_type:
            yield from _below(file.package, message)


def _below(parent: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    name = f"{parent}.{message.name}"
    yield name, message
    for nested in message.nested_type:
        yield from _below(name, nested)


def _enums(files: FileDescriptorSet) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for file in files.file:
        yield from _enums_of(file)
    for name, message in _messages(files):
        yield from ((f"{name}.{enum.name}", enum) for enum in message.enum_type)


def _enums_of(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    return ((f"{file.package}.{enum.name}", enum) for enum in file.enum_type)


def _word(option: bool) -> str:
    return "set" if option else "not set"

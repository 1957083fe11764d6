"""Refusals of a spec, and the checks that produce them. Pure.

A check is a generator of refusals, so that a user gets all of them at once. Called by vmi/rules/*.py and
unsupported.py. Every value that reaches XML, a file name or a command line must match a Text with a bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_SHOWN = 80  # characters of a refused value that are repeated to the user
SECRET_FIELDS = frozenset({"userData", "userDataBase64", "networkData", "networkDataBase64", "kernelArgs"})
"""Fields whose content may hold a secret."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem: the field, for example "spec.domain.cpu.cores", and what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


Refusals = Iterator[Refusal]


@dataclass(frozen=True, slots=True)
class Text:
    """A set of accepted strings: pattern, maximum length, and a description of both."""

    pattern: re.Pattern[str]
    limit: int
    words: str

    def accepts(self, value: str) -> bool:
        """Whether `value` is accepted."""
        return len(value) <= self.limit and self.pattern.fullmatch(value) is not None


# RFC 1123, as Kubernetes has it for names of volumes, host names and subdomains.
DNS_LABEL = Text(re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"), 63, "a DNS label: 1 to 63 of a-z, 0-9 and -")
# The same for names of objects.
DNS_NAME = Text(
    re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
    253,
    "a name of 253 characters at most: DNS labels with dots between them",
)
# KubeVirt's for interfaces and their networks.
WORD = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*"), 63, "1 to 63 letters, digits, - and _")
# Kubernetes' for keys of labels and resources.
QUALIFIED_NAME = Text(
    re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"),
    317,
    "a qualified name such as example.com/name",
)
LABEL_VALUE = Text(re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?"), 63, "a label's value, 63 characters")
IMAGE = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"), 512, "the reference of an image")
# Each component is a name: no "//", no "." or "..", no trailing "/".
FILE = Text(
    re.compile(r"(/(?!\.{1,2}(/|$))[\x21-\x2e\x30-\x7e]+)+"),
    1024,
    "an absolute path of printable ASCII without . and .. in it",
)


def display(value: object) -> str:
    """The value as shown in a message."""
    shown = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN + 2 else f"{shown[:_SHOWN]}…"


def refused(field: str, value: object, allowed: str) -> Refusal:
    """`value` is not allowed. The message omits a value that may be secret, because audit logs keep messages."""
    shown = "the value" if field.rpartition(".")[2] in SECRET_FIELDS else display(value)
    return Refusal(below_spec(field), f"{shown} is not allowed, use {allowed}")


def refused_switch(field: str, value: bool | None, allowed: str) -> Refusal:
    """A switch that must be off is on, or not set and on by KubeVirt's default."""
    if value is not None:
        return refused(field, value, allowed)
    return Refusal(below_spec(field), f"is not set, which means true and is not allowed, use {allowed}")


def below_spec(path: str) -> str:
    """The path as the user writes it."""
    return f"spec.{path}" if path else "spec"


def unless(valid: bool, field: str, value: object, allowed: str) -> Refusals:
    """Refuse `value` unless it is valid."""
    if not valid:
        yield refused(field, value, allowed)


def one_of(field: str, value: str, allowed: Collection[str]) -> Refusals:
    """Refuse a value that is not in `allowed`. The empty string is always allowed and means the default."""
    return unless(value == "" or value in allowed, field, value, " or ".join(allowed))


def matching(field: str, value: str, text: Text) -> Refusals:
    """Refuse a value that `text` does not accept."""
    return unless(text.accepts(value), field, value, text.words)


def matching_if_set(field: str, value: str, text: Text) -> Refusals:
    """Like `matching`, for a field that may be empty."""
    return matching(field, value, text) if value else iter(())


def within(field: str, value: int, low: int, high: int) -> Refusals:
    """Refuse a number below `low` or above `high`."""
    return unless(low <= value <= high, field, value, f"{low} to {high}")


def unique(field: str, key: str, values: Collection[object]) -> Refusals:
    """Refuse duplicate values. None and empty values are ignored."""
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value not in (None, "", 0) and value in seen:
            yield refused(f"{field}[{index}].{key}", value, "one that no other has")
        seen.add(value)


def at_most(field: str, values: Collection[object], limit: int) -> Refusals:
    """Refuse a list that is too long."""
    return unless(len(values) <= limit, field, f"{len(values)} items", f"at most {limit}")


_SHOWN_REFUSALS = 64  # in one message: enough for every unsupported field of this release, and still readable


class UnsupportedSpec(ValueError):
    """The spec has invalid or unsupported fields. The message, which is for the user, names every path."""

    def __init__(self, *refusals: Refusal) -> None:
        shown = "; ".join(str(refusal) for refusal in refusals[:_SHOWN_REFUSALS])
        more = len(refusals) - _SHOWN_REFUSALS
        super().__init__(f"{shown}; and {more} more" if more > 0 else shown)
        self.refusals = refusals

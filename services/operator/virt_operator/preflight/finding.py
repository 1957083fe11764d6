"""What the plan says about one object. Pure; made by the judges of this package, sent by admin/plan_messages.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from virt_operator.strategy.ref import Ref


class Severity(IntEnum):
    """Whether a finding stands in the way; a higher one stands more."""

    INFO = 1
    WARNING = 2
    BLOCKING = 3


class Subject(NamedTuple):
    """An object; `namespace` is "" for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str


class Step(NamedTuple):
    """Something that the change does, and how long it usually takes."""

    action: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement."""

    severity: Severity
    subject: Subject
    reason: str
    """One word, for programs. Reasons are interface: they are listed in docs/virtadm.md."""

    message: str
    steps: tuple[Step, ...] = ()
    irreversible: str = ""
    """What a way back does not undo; "" if it undoes everything."""

    field: str = ""
    """Of the object, if it is about one."""


def blocking(subject: Subject, reason: str, message: str, field: str = "") -> Finding:
    """Something that has to be mended first."""
    return Finding(Severity.BLOCKING, subject, reason, message, field=field)


def warning(subject: Subject, reason: str, message: str) -> Finding:
    """Something that should be known before."""
    return Finding(Severity.WARNING, subject, reason, message)


def info(subject: Subject, reason: str, message: str, *steps: Step, irreversible: str = "") -> Finding:
    """Something that will be done."""
    return Finding(Severity.INFO, subject, reason, message, steps, irreversible)


def subject_of(ref: Ref) -> Subject:
    """The object of the suite."""
    return Subject(ref.kind, ref.namespace, ref.name)

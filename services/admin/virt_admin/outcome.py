"""Statuses of the process, and the errors that end it. Pure; used by every command.

The first three are the same for each command that judges something: clean, attention, broken.
"""

from __future__ import annotations

CLEAN, ATTENTION, BROKEN = 0, 1, 2
"""Nothing to do; a change or a wait is in progress, or a part does not work; what was asked about does not work."""

UNKNOWN = 3
"""It could not be found out: no kubeconfig, no permission, no answer."""

USAGE = 64
"""The command line is wrong. As in BSD's sysexits; click's own 2 means "broken" here."""


class CannotTell(Exception):
    """Ends the command: what it needs cannot be read. The message says what and why."""

    status = UNKNOWN


class OperatorSilent(CannotTell):
    """virt-operator does not answer, or is of a release without the method."""


class NotPossible(CannotTell):
    """Ends the command: what is requested is refused. The message says why."""

    status = BROKEN


class WrongArgument(CannotTell):
    """Ends the command: an argument is malformed."""

    status = USAGE

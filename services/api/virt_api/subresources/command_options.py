"""Decodes a command's request body, and builds the launcher's command. Pure; called by commands.py.

KubeVirt's PauseOptions, UnpauseOptions and FreezeUnfreezeTimeout. The body is optional; unknown fields are refused by
name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec
from kubevirt.launcher.v1 import command_pb2
from virt_core.objects.duration import go_duration, parse_duration

from virt_api.errors import BadRequest
from virt_api.subresources.request_body import document_of, options_in, require_dry_run_all, require_known_fields

_LONGEST_FREEZE = timedelta(hours=1)


class CommandOptions(msgspec.Struct, frozen=True, rename="camel"):
    """Options of every command."""

    dry_run: list[str] | None = None

    @property
    def dry(self) -> bool:
        """Whether only to check that the command is possible."""
        return bool(self.dry_run)


class FreezeOptions(CommandOptions, frozen=True, rename="camel"):
    """Options of freeze."""

    unfreeze_timeout: str | None = None


_FIELDS: Mapping[type[CommandOptions], tuple[str, ...]] = {
    CommandOptions: ("dryRun",),
    FreezeOptions: ("dryRun", "unfreezeTimeout"),
}
_COMMANDS: Mapping[str, Callable[[], command_pb2.Command]] = {
    "pause": lambda: command_pb2.Command(pause=command_pb2.Pause()),
    "unpause": lambda: command_pb2.Command(unpause=command_pb2.Unpause()),
    "reset": lambda: command_pb2.Command(reset=command_pb2.Reset()),
    "softreboot": lambda: command_pb2.Command(soft_reboot=command_pb2.SoftReboot()),
    "unfreeze": lambda: command_pb2.Command(unfreeze=command_pb2.Unfreeze()),
}


def options_of(subresource: str, body: bytes) -> CommandOptions:
    """The options in a request's body.

    Raises:
        BadRequest: the message names the problem.
    """
    kind = FreezeOptions if subresource == "freeze" else CommandOptions
    found = document_of(subresource, body)
    require_known_fields(subresource, found, _FIELDS[kind])
    options = options_in(subresource, found, kind)
    require_dry_run_all(options.dry_run)
    return options


def command_of(subresource: str, options: CommandOptions) -> command_pb2.Command:
    """The command for the guest's launcher.

    Raises:
        BadRequest: naming field, value and what is allowed.
    """
    if not isinstance(options, FreezeOptions):
        return _COMMANDS[subresource]()
    freeze = command_pb2.Freeze()
    if options.unfreeze_timeout:
        after = parse_duration(options.unfreeze_timeout)
        if after is None or after > _LONGEST_FREEZE:
            allowed = f"a duration such as 5m0s, {go_duration(_LONGEST_FREEZE)} at most"
            raise BadRequest(f"unfreezeTimeout: {options.unfreeze_timeout[:80]!r} is not allowed, use {allowed}")
        freeze.unfreeze_after.FromTimedelta(after)  # zero: 5 minutes, the launcher's default
    return command_pb2.Command(freeze=freeze)

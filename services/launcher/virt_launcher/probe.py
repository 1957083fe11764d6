"""virt-probe: checks the guest's health, for probes that the kubelet runs in the launcher's container.

Queries the guest agent through libvirtd, independent of the launcher. It starts every few seconds, so it has few
imports. Exit status 0: healthy; 1: unhealthy, with the reason on standard error; 64: wrong usage.

    virt-probe guest-agent-ping [--timeout SECONDS]
    virt-probe exec [--timeout SECONDS] -- COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from virt_core.conventions.probe import EXEC, PING, TIMEOUT

from virt_launcher.domain import guest_agent
from virt_launcher.errors import AgentRefused, AgentUnavailable

_URI = "qemu:///session"
_DEFAULT_TIMEOUT = 1  # seconds; Kubernetes' own for probes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds
# Length of a failed command's output in the message.
_LONGEST_WORDS = 512

Ask = Callable[[str, int], str]
"""Calls the agent with a command and a timeout in seconds; command and response are JSON."""


class Misuse(Exception):
    """The command line is invalid."""


class Unwell(Exception):
    """The guest is unhealthy; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """The parsed command line. Without a command, the agent is only pinged."""

    timeout: int
    command: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> Call:
    """Read the command line. Raises Misuse."""
    options, separator = list(arguments), "--" in arguments
    command: tuple[str, ...] = ()
    if separator:
        at = options.index("--")
        options, command = options[:at], tuple(options[at + 1 :])
    kind, timeout = (options[0] if options else ""), _DEFAULT_TIMEOUT
    if len(options) > 1:
        if len(options) != 3 or options[1] != TIMEOUT or not options[2].isdecimal() or int(options[2]) < 1:
            raise Misuse("after the verb only --timeout SECONDS, at least 1")
        timeout = int(options[2])
    if kind == PING and not separator:
        return Call(timeout)
    if kind == EXEC and command:
        return Call(timeout, command)
    raise Misuse("guest-agent-ping, or exec with -- and a command")


def ask_guest(call: Call, ask: Ask, clock: Callable[[], float], pause: Callable[[float], None]) -> None:
    """Execute the probe with the agent. Raises Unwell, AgentUnavailable, AgentRefused."""
    deadline = clock() + call.timeout

    def say(execute: str, **arguments: object) -> object:
        left = max(1, int(deadline - clock()))
        answer = json.loads(ask(json.dumps({"execute": execute, "arguments": arguments}), left))
        return answer.get("return") if isinstance(answer, dict) else None

    if not call.command:
        say("guest-ping")
        return
    path, *arguments = call.command
    started = say("guest-exec", path=path, arg=arguments, **{"capture-output": True})
    pid = started.get("pid") if isinstance(started, dict) else None
    wait = _FIRST_PAUSE
    while True:
        status = say("guest-exec-status", pid=pid)
        if not isinstance(status, dict):
            raise Unwell("the guest agent does not say what became of the command")
        if status.get("exited"):
            return _judge(status)
        if clock() + wait >= deadline:
            raise Unwell(f"the command did not end within {call.timeout} s")
        pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE)


def _judge(status: dict[str, object]) -> None:
    code = status.get("exitcode")
    if code == 0:
        return
    ended = f"status {code}" if code is not None else f"signal {status.get('signal')}"
    words = " ".join(filter(None, (_decoded(status.get(stream)) for stream in ("out-data", "err-data"))))
    raise Unwell(f"the command ended with {ended}" + (f": {words}" if words else ""))


def _decoded(data: object) -> str:
    try:
        text = base64.b64decode(str(data or "")[: 2 * _LONGEST_WORDS], validate=False).decode(errors="replace")
    except binascii.Error:
        return ""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_WORDS]).strip()


def main(arguments: Sequence[str]) -> int:
    """Run the program. Returns its exit status."""
    try:
        call = parse(arguments)
    except Misuse as error:
        sys.stderr.write(f"virt-probe: {error}\n")
        return 64
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors arrive as exceptions
    try:
        # Closed, because libvirtd logs an error for a client that only disappears.
        with contextlib.closing(libvirt.open(_URI)) as connection:
            ask_guest(call, lambda command, s: guest_agent.ask(connection, command, s), time.monotonic, time.sleep)
    except (Unwell, AgentUnavailable, AgentRefused, ValueError, libvirt.libvirtError) as error:
        sys.stderr.write(f"virt-probe: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""virt-probe: its command line and the interpretation of the agent's responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from virt_launcher.errors import AgentUnavailable
from virt_launcher.probe import Call, Misuse, Unwell, ask_guest, parse


class Clock:
    """Time that passes when somebody pauses."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def agent(commands: list[dict[str, Any]], *answers: Any) -> Callable[[str, int], str]:
    """An agent that gives these answers, the last one for ever."""
    left = list(answers)

    def ask(command: str, timeout: int) -> str:
        assert timeout >= 1
        commands.append(json.loads(command))
        return json.dumps({"return": left.pop(0) if len(left) > 1 else left[0]})

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("guest-agent-ping", Call(1)),
        ("guest-agent-ping --timeout 5", Call(5)),
        ("exec --timeout 3 -- cat /tmp/ready", Call(3, ("cat", "/tmp/ready"))),
        ("exec -- test -e --timeout", Call(1, ("test", "-e", "--timeout"))),
        ("exec -- a -- b", Call(1, ("a", "--", "b"))),
    ],
)
def test_command_line(line: str, expected: Call) -> None:
    assert parse(line.split()) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "exec",
        "exec --",
        "exec ls",
        "guest-agent-ping -- ls",
        "guest-agent-ping --timeout",
        "exec --timeout 0 -- ls",
        "exec --timeout x -- ls",
        "ping",
    ],
)
def test_command_line_that_makes_no_sense(line: str) -> None:
    with pytest.raises(Misuse):
        parse(line.split())


def test_ping() -> None:
    commands: list[dict[str, Any]] = []
    ask_guest(Call(1), agent(commands, {}), Clock(), Clock().pause)
    assert [command["execute"] for command in commands] == ["guest-ping"]


def test_command_that_succeeds_is_waited_for() -> None:
    commands: list[dict[str, Any]] = []
    clock = Clock()
    ask = agent(commands, {"pid": 7}, {"exited": False}, {"exited": False}, {"exited": True, "exitcode": 0})
    ask_guest(Call(5, ("cat", "/tmp/ready")), ask, clock, clock.pause)
    assert commands[0]["arguments"] == {"path": "cat", "arg": ["/tmp/ready"], "capture-output": True}
    assert [command["arguments"] for command in commands[1:]] == [{"pid": 7}] * 3


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"exited": True, "exitcode": 3}, "the command ended with status 3"),
        ({"exited": True, "signal": 9}, "the command ended with signal 9"),
        (
            {"exited": True, "exitcode": 1, "err-data": base64.b64encode(b"no\nfile").decode()},
            "the command ended with status 1: no file",
        ),
        ({"exited": True, "exitcode": 1, "out-data": "!"}, "the command ended with status 1"),
        ({"exited": False}, "the command did not end within 2 s"),
        ("gone", "the guest agent does not say what became of the command"),
    ],
)
def test_failed_command_reports_its_status(status: Any, words: str) -> None:
    clock = Clock()
    with pytest.raises(Unwell) as unwell:
        ask_guest(Call(2, ("false",)), agent([], {"pid": 7}, status), clock, clock.pause)
    assert str(unwell.value) == words
    assert clock.now <= 102


def test_absent_agent_is_not_well() -> None:
    def ask(command: str, timeout: int) -> str:
        raise AgentUnavailable("no agent")

    with pytest.raises(AgentUnavailable):
        ask_guest(Call(1), ask, Clock(), Clock().pause)

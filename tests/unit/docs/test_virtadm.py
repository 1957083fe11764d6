"""docs/virtadm.md and virtadm's command line agree, and `--help` shows every option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from virt_admin.cli import virtadm
from virt_admin.outcome import ATTENTION, BROKEN, CLEAN, UNKNOWN, USAGE

PAGE = (Path(__file__).parents[3] / "docs" / "virtadm.md").read_text()
COMMANDS = re.findall(r"(?m)^    (virtadm .*?)(?: +#.*)?$", PAGE)


def parameters(command: click.Command) -> Iterator[str]:
    """The long options."""
    for parameter in command.params:
        yield from (name for name in parameter.opts if name.startswith("--"))


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_understood(line: str) -> None:
    done = CliRunner().invoke(virtadm, [*shlex.split(line)[1:], "--help"])
    assert done.exit_code == 0, done.output


def test_the_page_has_every_command() -> None:
    words = {word for line in COMMANDS for word in shlex.split(line)}
    assert words >= set(virtadm.commands)


@pytest.mark.parametrize("name", ["", *virtadm.commands])
def test_help_describes_every_option(name: str) -> None:
    command = virtadm.commands[name] if name else virtadm
    shown = CliRunner().invoke(virtadm, [*([name] if name else []), "--help"]).output
    for option in parameters(command):
        assert re.search(rf"(?m){option}\b.*\S", shown), option
    assert command.help and command.help.splitlines()[0].rstrip(".") in " ".join(shown.split())


def test_the_page_has_the_statuses() -> None:
    written = [int(number) for number in re.findall(r"(?m)^\| (\d+) \|", PAGE)]
    assert written == [CLEAN, ATTENTION, BROKEN, UNKNOWN, USAGE]
    assert "  64  the command line is wrong" in CliRunner().invoke(virtadm, ["--help"]).output

"""Typed readers of a process's environment variables. Called by each service's settings.py; knows no variable."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path


class BadSetting(ValueError):
    """An environment variable that the process cannot run with: whoever wrote the pod's template must change it."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable}: {value!r} is not allowed, use {allowed}")


class Environment:
    """The variables of one process. An empty variable counts as absent; a reader without default requires one.

    Raises, by every reader:
        BadSetting: the variable is absent and required, or its value is not allowed.
    """

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._variables = variables

    def text(self, variable: str, default: str | None = None, *, allowed: str = "a value") -> str:
        """The value as it is; `allowed` says in the error what is missing."""
        value = self._variables.get(variable) or default
        if value is None:
            raise BadSetting(variable, "", allowed)
        return value

    def path(self, variable: str, default: str) -> Path:
        """A file or folder."""
        return Path(self.text(variable, default))

    def names(self, variable: str) -> tuple[str, ...]:
        """Names with commas between them; none if it is absent."""
        return tuple(filter(None, self.text(variable, "").split(",")))

    def choice(self, variable: str, choices: Collection[str], default: str) -> str:
        """One of `choices`."""
        value = self.text(variable, default)
        if value not in choices:
            raise BadSetting(variable, value, f"one of {', '.join(choices)}")
        return value

    def port(self, variable: str, default: int) -> int:
        """A TCP port; 0 takes a free one."""
        text = self.text(variable, str(default))
        if not text.isascii() or not text.isdecimal() or int(text) > 65535:
            raise BadSetting(variable, text, "a port from 0 to 65535")
        return int(text)

    def seconds(self, variable: str, default: float, *, most: float = 60.0) -> float:
        """A duration of `most` seconds at most."""
        text = self.text(variable, str(default))
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= most:
            raise BadSetting(variable, text, f"seconds from 0 to {most:g}")
        return seconds

"""The launcher's log level, from its pod's environment."""

from __future__ import annotations

import logging

import pytest
from virt_launcher.settings import log_level


@pytest.mark.parametrize(
    ("value", "level"), [("", logging.INFO), ("1", logging.WARNING), ("6", logging.DEBUG), ("loud", logging.INFO)]
)
def test_the_pods_environment_sets_the_level(value: str, level: int) -> None:
    assert log_level({"VIRT_LAUNCHER_LOG_VERBOSITY": value} if value else {}) == level

"""Logs: one JSON object a line, with the fields of what they are about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pytest
from virt_core import logs
from virt_core.flags import log_level

from tests.support.process_logs import logging_restored

Line = dict[str, Any]


@contextmanager
def written(level: int = logging.INFO) -> Iterator[list[Line]]:
    """The lines that were written to standard error within."""
    lines = list[Line]()
    with logging_restored(), redirect_stderr(io.StringIO()) as errors:
        logs.setup("virt-test", level)
        yield lines
    lines += [json.loads(line) for line in errors.getvalue().splitlines()]


def test_a_line_is_one_object_with_the_bound_fields() -> None:
    with written() as lines:
        log = logs.bound("virt_core.test", vmi="ns/guest").bind(pod="p")
        log.info("creating a pod", key=("ns", "guest"), text='two\nlines and "quotes"')
    (line,) = lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info", "component": "virt-test", "logger": "virt_core.test", "msg": "creating a pod",
        "vmi": "ns/guest", "pod": "p", "key": ["ns", "guest"], "text": 'two\nlines and "quotes"',
    }  # fmt: skip


def test_an_exception_is_in_its_line() -> None:
    with written() as lines:
        try:
            raise ValueError("broken\nhere")
        except ValueError:
            logs.bound("virt_core.test", vmi="ns/guest").error("reconciling again after a defect", exc_info=True)
    (line,) = lines
    assert (line["level"], line["vmi"]) == ("error", "ns/guest")
    assert line["exception"].startswith("Traceback") and "ValueError: broken\nhere" in line["exception"]


def test_what_json_does_not_know_is_written_as_text() -> None:
    with written() as lines:
        logs.bound("virt_core.test").warning("meeting", failure=ValueError("odd"), size=1)
    (line,) = lines
    assert (line["failure"], line["size"]) == ("odd", 1)


def test_debug_is_not_written_by_default_and_plain_loggers_are() -> None:
    with written() as lines:
        logs.bound("virt_core.test").debug("hidden")
        logging.getLogger("library").info("said %s", "so")
    assert [line["msg"] for line in lines] == ["said so"]


def test_the_flag_v_adds_details_of_the_suite_and_not_of_libraries() -> None:
    with written(log_level("virt-test", ["--v", "3"])) as lines:
        for name in ("virt_core.kube.client", "virt_test.app", "library"):
            logs.bound(name).debug("detail")
    assert [line["logger"] for line in lines] == ["virt_core.kube.client", "virt_test.app"]
    assert log_level("virt-test", ["--v=2"]) == log_level("virt-test", []) == logging.INFO


@pytest.mark.parametrize("arguments", [["--v", "loud"], ["--v", "10"], ["--port", "1"]])
def test_an_unknown_flag_ends_the_process_naming_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        log_level("virt-test", arguments)
    assert arguments[0] in capsys.readouterr().err

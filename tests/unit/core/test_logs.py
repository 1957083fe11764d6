"""Logs: one JSON object a line, with the fields of what they are about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

from virt_core import logs

Line = dict[str, Any]


@contextmanager
def written() -> Iterator[list[Line]]:
    """The lines that were written to standard error within. pytest's own handlers come back afterwards."""
    root, lines = logging.getLogger(), list[Line]()
    handlers, level = root.handlers, root.level
    root.handlers = []  # set aside, because setup closes what it finds
    try:
        with redirect_stderr(io.StringIO()) as errors:
            logs.setup("virt-test")
            yield lines
        lines += [json.loads(line) for line in errors.getvalue().splitlines()]
    finally:
        root.handlers = handlers
        root.setLevel(level)


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

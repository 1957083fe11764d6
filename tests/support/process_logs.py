"""The logging of this process while a test sets it up as a service does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from virt_core import logs


@contextmanager
def logging_restored() -> Iterator[None]:
    """Sets aside pytest's handlers. Afterwards they, the levels and the level at the start are as before: a level that
    stayed would be set again by the next test that watches a KubeVirt object.
    """
    root, at_start = logging.getLogger(), dict(logs._at_setup)
    handlers, levels = root.handlers, {name: logging.getLogger(name).level for name in ("", *_suite_loggers())}
    root.handlers = []  # setup closes what it finds
    try:
        yield
    finally:
        root.handlers = handlers
        logs._at_setup.clear()
        logs._at_setup.update(at_start)
        for name in ("", *_suite_loggers()):
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def _suite_loggers() -> list[str]:
    return [name for name in logging.root.manager.loggerDict if name.startswith("virt_")]

"""Structured logs: one JSON object a line on standard error, bound once to the object they are about.

Called by every service's ``__main__`` (`setup`) and by whatever works on one object (`bound`). Messages are written
before the act, with an "-ing" verb; what varies goes into fields, never into the message.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

from virt_core.conventions.verbosity import DEFAULT

_FIELDS = "virt_fields"
_DETAILED = 3  # from here on also each request to the API server and each gRPC call
_at_setup: dict[str, int] = {}  # level by logger


class _JsonFormatter(logging.Formatter):
    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "timestamp": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "component": self._component,
            "logger": record.name,
            "msg": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class BoundLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines carry fixed fields. Further fields are keyword arguments: ``log.info("...", pod=name)``."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        known = {key: kwargs.pop(key) for key in ("exc_info", "stack_info", "stacklevel") if key in kwargs}
        fields = {**(self.extra or {}), **kwargs}
        return msg, {**known, "extra": {_FIELDS: fields}}

    # LoggerAdapter's own methods do not accept unknown keyword arguments by type; these do.
    def info(self, msg: object, *args: object, **fields: Any) -> None:
        self.log(logging.INFO, msg, *args, **fields)

    def warning(self, msg: object, *args: object, **fields: Any) -> None:
        self.log(logging.WARNING, msg, *args, **fields)

    def error(self, msg: object, *args: object, **fields: Any) -> None:
        self.log(logging.ERROR, msg, *args, **fields)

    def debug(self, msg: object, *args: object, **fields: Any) -> None:
        self.log(logging.DEBUG, msg, *args, **fields)

    def bind(self, **fields: Any) -> BoundLogger:
        """The same logger with more fields."""
        return BoundLogger(self.logger, {**(self.extra or {}), **fields})


def bound(name: str, **fields: Any) -> BoundLogger:
    """A logger called `name` whose every line carries `fields`."""
    return BoundLogger(logging.getLogger(name), fields)


def setup(component: str, level: int = logging.INFO) -> None:
    """Send all logs of this process to standard error as JSON, `component` being for example "virt-handler".

    `level` is of the suite's own loggers; libraries log from INFO on.
    """
    _at_setup.clear()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(component))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    for package in ("virt_core", component.replace("-", "_")):
        logging.getLogger(package).setLevel(level)
        _at_setup[package] = level


def level_of(verbosity: int) -> int:
    """The level that stands for one of KubeVirt's numbers, 0 to 9; libraries say nothing below INFO at any of them."""
    if verbosity < DEFAULT:
        return logging.WARNING
    return logging.INFO if verbosity < _DETAILED else logging.DEBUG


def set_verbosity(verbosity: int) -> None:
    """Log as `verbosity` says from now on; 0 as at the start."""
    for package, level in _at_setup.items():
        level = level_of(verbosity) if verbosity else level  # noqa: PLW2901
        logging.getLogger(package).setLevel(level)
        logging.getLogger().setLevel(max(level, logging.INFO))

"""Run with the packages of one release: its virt-handler, as the settings in argv[1] say, a JSON object of paths and
numbers. The folders of its container have fixed names, which a test must not use."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from virt_handler import start
from virt_handler.settings import Settings


def settings(text: str) -> Settings:
    """Every text with a "/" is a path. A release knows fewer settings than a later one."""
    values: dict[str, Any] = json.loads(text)
    known = {key: value for key, value in values.items() if key in Settings.__slots__}
    return Settings(**{key: Path(value) if "/" in str(value) else value for key, value in known.items()})


if __name__ == "__main__":
    asyncio.run(start.run(settings(sys.argv[1]), asyncio.Event()))

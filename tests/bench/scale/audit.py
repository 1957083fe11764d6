"""Requests of virt-controller and of what plays virt-handler, counted in the API server's audit log."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

_NOT_OF_ONE = ("watch", "list")


class Audit:
    """Counts from where the last count ended."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0

    async def counted(self) -> dict[str, Counter[str]]:
        """By user, "VERB RESOURCE" and how often since the last call. Lists, watches and Leases are not of one
        machine and left out."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {}
        if not self._log.exists():
            return found
        with self._log.open("rb") as lines:
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                event = json.loads(line)
                target = event.get("objectRef", {})
                if event["stage"] != "ResponseComplete" or event["verb"] in _NOT_OF_ONE:
                    continue
                if target.get("resource") == "leases":
                    continue
                resource = "/".join(filter(None, (target.get("resource", ""), target.get("subresource", ""))))
                code = event.get("responseStatus", {}).get("code", 0)
                refused = f" answered {code}" if code >= 300 else ""
                found.setdefault(event["user"]["username"], Counter())[f"{event['verb']} {resource}{refused}"] += 1
        return found


def per(counted: Counter[str], machines: int) -> dict[str, float]:
    """Requests per machine, the most frequent first."""
    return {what: round(count / machines, 3) for what, count in counted.most_common()}

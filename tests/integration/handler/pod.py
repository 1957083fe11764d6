"""A pod's network namespace and its card."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

MTU = 1442


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Pod:
    """Names of the network namespaces and the descriptor of the pod's."""

    name: str
    outside: str
    fd: int

    def ip(self, *arguments: str) -> str:
        return ip("-n", self.name, *arguments)

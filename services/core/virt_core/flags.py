"""The command-line flag that all components have, which `spec.customizeComponents.flags` of the KubeVirt object sets.

Called by the `__main__` of virt-api, virt-controller and virt-handler. All other settings of a component are in its
environment.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

_DETAILED = 3  # of KubeVirt's verbosity, 0 to 9: what its components log by default is 2


def log_level(component: str, arguments: Sequence[str] | None = None) -> int:
    """The level of logs that the command line sets. An unknown flag ends the process with a message."""
    parser = argparse.ArgumentParser(prog=component, allow_abbrev=False)
    parser.add_argument(
        "--v",
        type=int,
        choices=range(10),
        default=2,
        help=f"verbosity of logs; {_DETAILED} and above add each request to the API server (default 2)",
    )
    return logging.DEBUG if parser.parse_args(arguments).v >= _DETAILED else logging.INFO

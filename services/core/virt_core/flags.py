"""The command-line flag that all components have, which `spec.customizeComponents.flags` of the KubeVirt object sets.

Called by the `__main__` of virt-api, virt-controller and virt-handler. All other settings of a component are in its
environment.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from virt_core import logs
from virt_core.conventions.verbosity import DEFAULT, HIGHEST


def log_level(component: str, arguments: Sequence[str] | None = None) -> int:
    """The level of logs that the command line sets. An unknown flag ends the process with a message."""
    parser = argparse.ArgumentParser(prog=component, allow_abbrev=False)
    parser.add_argument(
        "--v",
        type=int,
        choices=range(HIGHEST + 1),
        default=DEFAULT,
        help="verbosity of logs; 3 and above add each request to the API server (default %(default)s)",
    )
    return logs.level_of(parser.parse_args(arguments).v)

"""`make bench`: how long the suite takes to be installed, how long a VMI takes from created to Running, stage by stage,
and from deleted to gone, what each process weighs, and what machines and an idle suite ask of the API server; the same
of VirtualMachines, one after the other and a thousand at once, and how long their webhooks take; and live migrations;
and the plan of an upgrade and a drift pass over a large cluster, which need none. `python -m tests.bench scale` is not
among those of `make bench`: thousands of machines on fake nodes, with a control plane of its own. `python -m
tests.bench idle` is one of them.

Prints tables, writes build/bench.json. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.drift import drift
from tests.bench.idle import idle
from tests.bench.installation import installation
from tests.bench.machines import burst, idle_machine, starts
from tests.bench.memory import weights
from tests.bench.migrations import migrations
from tests.bench.preflight import preflight
from tests.bench.scale.command import scale
from tests.bench.virtual_machines import vm_lives, vms
from tests.bench.webhooks import webhooks

OUT = Path("build/bench.json")
PARTS = (
    "installation",
    "starts",
    "burst",
    "weights",
    "vm-lives",
    "webhooks",
    "vms",
    "migrations",
    "preflight",
    "drift",
    "idle",
    "idle-machine",
)
ALONE = ("scale",)
"""Parts that run only if they are named."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS + ALONE)}; default all but scale"
    )
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    parser.add_argument("--machines", type=int, nargs="*", default=[1000, 8000], help="VMIs of scale, one run each")
    parser.add_argument("--vms", type=int, default=4000, help="VMs of scale; 0: none")
    parser.add_argument("--deleted", type=int, default=1000, help="machines that scale deletes in each run, at most")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, *ALONE}:
        parser.error(f"PART: {sorted(unknown)} is not among {', '.join(PARTS + ALONE)}")
    measure: dict[str, Callable[[], Any]] = {
        "installation": installation,
        "starts": starts,
        "burst": burst,
        "weights": weights,
        "vm-lives": vm_lives,
        "webhooks": webhooks,
        "vms": vms,
        "migrations": migrations,
        "preflight": preflight,
        "drift": drift,
        "idle": lambda: idle(arguments.idle_seconds),
        "idle-machine": lambda: idle_machine(arguments.idle_seconds),
        "scale": lambda: scale(arguments.machines, arguments.vms, arguments.deleted),
    }
    names = {
        "installation": "installation_seconds",
        "starts": "start_seconds",
        "burst": "burst_seconds",
        "weights": "pss_mib",
        "vm-lives": "vm_lives",
        "webhooks": "webhooks",
        "vms": "thousand_vms",
        "migrations": "migrations",
        "preflight": "upgrade_plan",
        "drift": "drift_pass",
        "idle": "idle",
        "idle-machine": "idle_machine",
        "scale": "scale",
    }
    OUT.parent.mkdir(exist_ok=True)
    measured = json.loads(OUT.read_text()) if OUT.exists() else {}
    for part in arguments.parts or PARTS:
        measured[names[part]] = measure[part]()
        OUT.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()

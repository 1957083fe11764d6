"""Runs the measurements that the command line names, prints them and writes build/scale.md. Called by tests/bench."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.bench.scale import run
from tests.bench.scale.table import Measured, markdown

OUT = Path("build/scale.md")


def scale(machines: list[int], vms: int, deleted: int) -> Measured:
    """Each number of VirtualMachineInstances, then that of VirtualMachines; 0 for none. Of each run `deleted` are
    deleted, at most."""
    found: Measured = {"vmis": {}, "vms": {}}
    for count in filter(None, machines):
        print(f"{count} VirtualMachineInstances on fake nodes", flush=True)
        found["vmis"][f"{count:,}"] = asyncio.run(run.vmis(count, deleted))
        _show(found)
    if vms:
        print(f"{vms} VirtualMachines on fake nodes", flush=True)
        found["vms"][f"{vms:,}"] = asyncio.run(run.vms(vms, deleted))
        _show(found)
    return found


def _show(found: Measured) -> None:
    print(json.dumps(found, indent=1))
    table = markdown(found)
    OUT.write_text(table)
    print(table, flush=True)

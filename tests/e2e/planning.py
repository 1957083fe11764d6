"""`virtadm plan` as an administrator runs it, and what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

from tests.e2e.audit import Request, requests
from tests.e2e.cluster import NAMESPACE, get

PLANNER, PRINTER = "kubevirt-operator", "kubevirt-install-strategy"
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_NOTHING_STORED = ("selfsubjectrulesreviews", "subjectaccessreviews")
_OWN = ("/kubevirt-plan-", "/kubevirt-install-strategy-plan-")


def plan(tag: str, *options: str) -> tuple[int, Any]:
    """The status, and what `-o json` prints."""
    command = [sys.executable, "-m", "virt_admin", "plan", "--to", tag, "-o", "json", *options]
    environment = {**os.environ, "PATH": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def severe(found: Any) -> set[tuple[str, str, str]]:
    """Reason, kind and name of all that is more than information."""
    return {(f["reason"], f["kind"], f["name"]) for f in found["findings"] if f["severity"] != "info"}


def left_behind() -> list[str]:
    """Jobs, pods and ConfigMaps of a plan."""
    labelled = get("-n", NAMESPACE, "jobs,pods", "-l", "kubevirt.io/upgrade-plan")["items"]
    config_maps = get("-n", NAMESPACE, "configmaps")["items"]
    names = [body["metadata"]["name"] for body in labelled if "deletionTimestamp" not in body["metadata"]]
    names += [body["metadata"]["name"] for body in config_maps]
    return [name for name in names if name.startswith(tuple(prefix[1:] for prefix in _OWN))]


def strange_writes(since: datetime, until: datetime) -> list[Request]:
    """What the accounts of a plan wrote meanwhile, but for its own probes, reviews, dry runs and the leader's Lease."""
    return [
        request
        for request in requests(since, until)
        if request.account in (PLANNER, PRINTER)
        and request.verb in _WRITES
        and request.resource not in (*_NOTHING_STORED, "leases")
        and "dryRun=All" not in request.path
        and not any(own in request.path for own in _OWN)
        and not (request.resource == "jobs" and request.verb == "create")
    ]

"""A VirtualMachine is changed in every field of its template while its guest runs, which notices nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from virt_core.testing.patches import merge_patch

from tests.e2e.cluster import condition_of, get, kubectl, until
from tests.e2e.guests import MAX_GAP, Guest, observed
from tests.e2e.virtual_machines import another_guest_runs, existing, has, request, vm_manifest
from tests.samples.template_changes import CHANGES, LIVE

pytestmark = pytest.mark.parallel
NAME = "changes"
EVICT = "descheduler.alpha.kubernetes.io/evict"


def template_of_a_guest() -> dict[str, Any]:
    """A guest with a disk, as the changes expect it."""
    body = vm_manifest(NAME)
    spec = body["spec"]["template"]["spec"]
    spec["domain"]["devices"]["disks"] = [{"name": "data", "disk": {"bus": "virtio"}}]
    spec["volumes"] = [{"name": "data", "emptyDisk": {"capacity": "1Mi"}}]
    return body


def replace(spec: dict[str, Any]) -> None:
    """Replace the template's spec."""
    operation = {"op": "replace", "path": "/spec/template/spec", "value": spec}
    kubectl("patch", "vm", NAME, "--type=json", "-p", json.dumps([operation]))


def named() -> list[str]:
    """The fields that RestartRequired names."""
    message = condition_of(get("vm", NAME), "RestartRequired").get("message", "")
    return message.partition(": ")[2].split(", ") if message else []


def is_named(field: str) -> bool:
    """Whether RestartRequired names it; an object that is new is named as a whole."""
    return any(f"{field}.".startswith(f"{path}.") for path in named())


def contains(whole: Any, part: Any) -> bool:
    """Whether every field of `part` has its value in `whole`, which may have defaults besides."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(contains(whole.get(key), value) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(contains, whole, part))
    return bool(whole == part)


def test_every_field_changes_while_the_guest_runs_and_a_restart_applies_them() -> None:
    with existing(template_of_a_guest()):
        has(NAME, "Running")
        guest = Guest(NAME)
        uid, pid = guest.vmi["metadata"]["uid"], guest.qemu_pid()
        started = get("vm", NAME)["spec"]["template"]["spec"]
        with observed(guest) as ticks:
            for value in ("true", None):
                annotations = {"metadata": {"annotations": {EVICT: value}}}
                kubectl("patch", "vm", NAME, "--type=merge", "-p", json.dumps({"spec": {"template": annotations}}))
                until(lambda v=value: guest.pod["metadata"]["annotations"].get(EVICT) == v, f"{EVICT} on the pod")
            for change in CHANGES:
                replace(merge_patch(started, change.patch))
                if change.field in LIVE:
                    until(lambda c=change: guest.vmi["spec"].get(c.field) == c.value, f"{change.field} in the guest")
                    assert named() == []
                elif get("vm", NAME)["spec"]["template"]["spec"] == started:
                    until(lambda: named() == [], f"nothing to wait for a restart, {change.field} is as it was")
                else:
                    until(lambda c=change: is_named(c.field), f"RestartRequired to name {change.field}")
            replace(started)
            until(lambda: named() == [], "RestartRequired to go with the last change")
            seen = ticks()[NAME]
            assert len(seen.boots) == 1 and seen.longest_silence < MAX_GAP, seen
        assert (guest.vmi["metadata"]["uid"], guest.qemu_pid()) == (uid, pid)
        assert not set(LIVE) & guest.vmi["spec"].keys()
        wanted = started
        for change in CHANGES:
            if change.applied:
                wanted = merge_patch(wanted, change.patch)
        replace(wanted)
        until(lambda: len(named()) > 1, "RestartRequired")
        request(NAME, "restart")
        another_guest_runs(NAME, uid)
        assert contains(guest.vmi["spec"], wanted)
        until(lambda: named() == [], "RestartRequired to go with the restart")

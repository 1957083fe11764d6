"""VirtualMachines for end-to-end tests: made, requested by subresources, waited for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster import apply, get, kubectl, remove, until, wait
from tests.e2e.guests import manifest
from tests.support.patience import PATIENCE


def vm_manifest(name: str, strategy: str = "Always") -> dict[str, Any]:
    """The demo guest as a VirtualMachine."""
    return vm_of(manifest(name), strategy)


def vm_of(guest: dict[str, Any], strategy: str = "Always") -> dict[str, Any]:
    """The VirtualMachine of a guest that is killed when it is stopped."""
    name = guest["metadata"]["name"]
    guest["spec"]["terminationGracePeriodSeconds"] = 0
    labels = {"app": name, **guest["metadata"].get("labels", {})}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": labels}, "spec": guest["spec"]}},
    }


@contextmanager
def existing(body: dict[str, Any]) -> Iterator[str]:
    """Create it, whatever becomes of it; delete it afterwards and wait until it is gone."""
    with removed_afterwards(body["metadata"]["name"]) as name:
        apply(body)
        yield name


@contextmanager
def removed_afterwards(name: str) -> Iterator[str]:
    """Delete the VirtualMachine of that name afterwards, if there is one, and wait until it is gone."""
    try:
        yield name
    finally:
        remove("vm", name)


def request(name: str, verb: str, **options: Any) -> str:
    """Call a subresource."""
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{name}/{verb}"
    return kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(options))


def status(name: str) -> dict[str, Any]:
    found: dict[str, Any] = get("vm", name).get("status", {})
    return found


def has(name: str, word: str, seconds: float = PATIENCE) -> None:
    """Wait for a printableStatus."""
    wait("vm", name, f"jsonpath={{.status.printableStatus}}={word}", seconds=seconds)


def another_guest_runs(name: str, than: str) -> None:
    """Wait until the VirtualMachineInstance is not the one of that UID, and runs. In between there may be none."""
    shown = ("get", "vmi", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid} {.status.phase}")

    def is_another() -> bool:
        uid, _, phase = kubectl(*shown).strip().partition(" ")
        return uid not in ("", than) and phase == "Running"

    until(is_another, "another guest that runs", 2 * PATIENCE)

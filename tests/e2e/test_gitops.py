"""A VirtualMachine that tools apply again and again, by either way of `kubectl apply`, does not change by itself.

Argo CD and Flux compare what is live with what they applied, as `kubectl diff` does, and apply with managers of their
own.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import get, kubectl, until
from tests.e2e.guests import Guest
from tests.e2e.helm import helm
from tests.e2e.virtual_machines import (
    another_guest_runs,
    existing,
    has,
    removed_afterwards,
    request,
    status,
    vm_manifest,
)

pytestmark = pytest.mark.parallel

BY_SERVER = ("--server-side", "--field-manager=argocd-controller")
Way = tuple[str, ...]


def apply_by(way: Way, body: dict[str, Any]) -> str:
    return kubectl("apply", *way, "-f", "-", stdin=json.dumps(body))


def difference(way: Way, body: dict[str, Any]) -> str:
    """What `kubectl diff` shows: "" for nothing, what else it fails with as an error."""
    done = subprocess.run(
        ["kubectl", "diff", *way, "-f", "-"],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def generation(name: str) -> int:
    return int(get("vm", name)["metadata"]["generation"])


def written(name: str) -> str:
    """Changes with every write."""
    return str(get("vm", name)["metadata"]["resourceVersion"])


def unchanged(body: dict[str, Any], *ways: Way) -> None:
    """Neither way shows a difference, and applying again raises no generation."""
    name = body["metadata"]["name"]
    before = generation(name)
    for way in ways:
        no_difference(way, body)
        apply_by(way, body)
        assert generation(name) == before


def no_difference(way: Way, body: dict[str, Any]) -> None:
    """Soon: kubectl reads twice, and shows a status that was written in between as a difference."""
    shown: list[str] = []
    try:
        until(lambda: shown.append(difference(way, body)) or shown[-1] == "", "no difference", every=1)
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{shown[-1]}") from None


@pytest.mark.parametrize("first", ["client", "server"])
def test_one_that_is_applied_by_both_ways_keeps_its_generation(first: str) -> None:
    ways = ((), BY_SERVER) if first == "client" else (BY_SERVER, ())
    body = vm_manifest(f"applied-by-{first}-first", "Halted")
    with removed_afterwards(body["metadata"]["name"]) as name:
        apply_by(ways[0], body)
        assert generation(name) == 1
        unchanged(body, *ways, *ways)
        has(name, "Stopped")
        for way in ways:
            apply_by(way, body)  # kubectl writes its annotation again after an apply by the other way
            settled = written(name)
            apply_by(way, body)
            assert (generation(name), written(name)) == (1, settled)


def test_a_field_that_another_manager_owns_is_a_conflict_by_name() -> None:
    body = vm_manifest("applied-by-two", "Halted")
    with existing(body) as name:
        body["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "160Mi"
        with pytest.raises(AssertionError, match=r"conflict[^$]*spec\.template\.spec\.domain\.memory\.guest"):
            apply_by(BY_SERVER, body)
        apply_by((*BY_SERVER, "--force-conflicts"), body)
        assert generation(name) == 2
        unchanged(body, BY_SERVER)


def test_start_restart_and_stop_of_a_manual_one_leave_no_difference() -> None:
    body = vm_manifest("applied-manual", "Manual")
    with existing(body) as name:
        apply_by(BY_SERVER, body)
        request(name, "start")
        has(name, "Running")
        unchanged(body, (), BY_SERVER)
        first = Guest(name).vmi["metadata"]["uid"]
        request(name, "restart")
        another_guest_runs(name, first)
        unchanged(body, (), BY_SERVER)
        request(name, "stop")
        has(name, "Stopped")
        until(lambda: not status(name).get("stateChangeRequests"), "the request to be done")
        unchanged(body, (), BY_SERVER)
        assert generation(name) == 1


def changed_fields(body: dict[str, Any]) -> list[list[str]]:
    """The words of the lines that differ, but for the generation."""
    changed = [line for line in difference((), body).splitlines() if line.startswith(("-", "+"))]
    return [line.split() for line in changed if "generation" not in line and line[1:2] == " "]


def test_one_that_always_runs_differs_only_while_somebody_stopped_it() -> None:
    body = vm_manifest("applied-always")
    with existing(body) as name:
        has(name, "Running")
        uid = Guest(name).vmi["metadata"]["uid"]
        request(name, "restart")
        another_guest_runs(name, uid)
        unchanged(body, (), BY_SERVER)
        request(name, "stop")
        has(name, "Stopped")
        stopped = [["-", "runStrategy:", "Halted"], ["+", "runStrategy:", "Always"]]
        until(lambda: changed_fields(body) == stopped, "the run strategy to be the only difference", every=1)
        request(name, "start")
        has(name, "Running")
        no_difference((), body)


helm_of_users = partial(helm, namespace="default")
CHART = """apiVersion: v2
name: machines
version: 1.0.0
"""


def test_helm_upgrades_a_machine_only_when_its_values_change(tmp_path: Path) -> None:
    body = vm_manifest("charted-machine", "Manual")
    body["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "{{ .Values.memory }}"
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(CHART)
    (tmp_path / "values.yaml").write_text("memory: 128Mi\n")
    (tmp_path / "templates" / "machine.yaml").write_text(yaml.safe_dump(body))
    release = "machines"
    with removed_afterwards("charted-machine") as name:
        try:
            helm_of_users("install", release, tmp_path)
            request(name, "start")
            has(name, "Running")
            helm_of_users("upgrade", release, tmp_path)
            assert generation(name) == 1
            rendered = yaml.safe_load(helm_of_users("get", "manifest", release))
            no_difference(BY_SERVER, rendered)
            helm_of_users("upgrade", release, tmp_path, "--set", "memory=160Mi")
            assert generation(name) == 2
            helm_of_users("rollback", release, "2")
            assert (generation(name), get("vm", name)["spec"]["template"]["spec"]["domain"]["memory"]["guest"]) == (
                3,
                "128Mi",
            )
        finally:
            helm_of_users("uninstall", release, "--wait")
        assert kubectl("get", "vm", name, "--ignore-not-found") == ""

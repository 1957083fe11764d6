"""`kubectl drain` moves guests and ends by itself; `kubectl uncordon` takes back what has not begun."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from virt_core.conventions.migration import CORDONED_NODE

from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.draining import drain, drainable, on, remove_migrations
from tests.e2e.guests import Guest, await_events, manifest, observed, running

HANDLERS = "kubevirt.io=virt-handler"


def movable(name: str, strategy: str = "LiveMigrate", **spec: Any) -> dict[str, Any]:
    body = manifest(name)
    body["spec"] |= {"evictionStrategy": strategy, **spec}
    return body


def migrations_of(guest: Guest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get("vmim", "-l", f"kubevirt.io/vmi-name={guest.name}")["items"]
    return found


def phases_of(guest: Guest) -> list[str]:
    return [migration.get("status", {}).get("phase", "") for migration in migrations_of(guest)]


def test_a_drain_moves_every_guest_once_and_ends() -> None:
    with drainable() as node:
        bodies = [movable(f"moves{number}", affinity=on(node)) for number in range(2)]
        with running(*bodies) as guests:
            assert {guest.vmi["status"]["nodeName"] for guest in guests} == {node}
            drain(node)
            for guest in guests:  # the node is free as soon as the guest's pod there has ended
                until(lambda g=guest: phases_of(g) == ["Succeeded"], "the end of its migration")  # type: ignore[misc]
                until(lambda g=guest: "evacuationNodeName" not in g.vmi["status"], "the mark to go")  # type: ignore[misc]
                status = guest.vmi["status"]
                assert guest.phase == "Running" and status["nodeName"] != node
                (migration,) = migrations_of(guest)
                assert migration["metadata"]["name"].startswith("kubevirt-evacuation-")
                assert status["migrationState"]["sourceNode"] == node
                until(lambda g=guest: not g.condition("EvictionRequested"), "EvictionRequested to go")  # type: ignore[misc]
            remove_migrations(*guests)


@pytest.mark.slow
def test_a_drain_of_ten_guests_ends_while_every_handler_restarts() -> None:
    with drainable() as node:
        bodies = [movable(f"crowd{number}", affinity=on(node)) for number in range(10)]
        with running(*bodies) as guests, observed(*guests) as ticks:
            assert {guest.vmi["status"]["nodeName"] for guest in guests} == {node}
            kubectl("-n", NAMESPACE, "delete", "pods", "-l", HANDLERS, "--wait=false")
            began = time.monotonic()
            drain(node, 300)
            print(f"ten guests left their node in {time.monotonic() - began:.1f} s while the handlers restarted")
            kubectl("-n", NAMESPACE, "wait", "pods", "-l", HANDLERS, "--for=condition=Ready", "--timeout=180s")
            assert all(guest.vmi["status"]["nodeName"] != node and guest.phase == "Running" for guest in guests)
            seen = ticks()
            gaps = sorted(round(seen[guest.name].longest_gap, 2) for guest in guests)
            print(f"boot ids {[len(seen[guest.name].boots) for guest in guests]}, longest gaps {gaps} s")
            assert all(len(seen[guest.name].boots) == 1 for guest in guests)
            remove_migrations(*guests)


def test_a_guest_that_cannot_leave_is_named_in_the_answer_a_condition_and_an_event() -> None:
    body = movable("rooted-here")
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    with drainable() as node, running(body | {"spec": body["spec"] | {"affinity": on(node)}}) as (guest,):
        until(lambda: guest.condition("LiveMigratable").get("status") == "False", "LiveMigratable")
        why = guest.condition("LiveMigratable")["message"]
        with pytest.raises(AssertionError, match="is not live-migratable"):
            drain(guest.vmi["status"]["nodeName"], 15)  # which must be long enough for one answer
        until(lambda: why in guest.condition("EvacuationBlocked").get("message", ""), "EvacuationBlocked")
        await_events(guest.vmi["metadata"]["uid"], lambda reasons: "FailedCreate" in reasons)
        assert guest.phase == "Running"


def test_an_uncordoned_node_keeps_a_guest_that_nobody_could_take() -> None:
    with drainable() as node:
        body = movable("stays", nodeSelector={"kubernetes.io/hostname": node})
        with running(body) as (guest,):
            until(lambda: guest.condition("LiveMigratable").get("status") == "True", "LiveMigratable")
            kubectl("cordon", node)
            name = guest.pod["metadata"]["name"]
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
            path = f"/api/v1/namespaces/default/pods/{name}/eviction"
            kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False)
            until(lambda: bool(migrations_of(guest)), "a migration")
            (migration,) = migrations_of(guest)
            until(lambda: CORDONED_NODE in guest.vmi["metadata"].get("annotations", {}), "the cordon to be seen")
            kubectl("uncordon", node)
            kubectl("delete", "vmim", migration["metadata"]["name"])
            until(lambda: "evacuationNodeName" not in guest.vmi["status"], "the mark to go")
            assert migrations_of(guest) == [] and guest.phase == "Running"
            assert guest.vmi["status"]["nodeName"] == node

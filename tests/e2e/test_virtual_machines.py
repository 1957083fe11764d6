"""VirtualMachines on a real cluster: started, stopped, restarted, changed and deleted, by kubectl and subresources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster import apply, condition_of, get, kubectl, until, wait
from tests.e2e.guests import Guest, await_events
from tests.e2e.virtual_machines import another_guest_runs, existing, has, request, status, vm_manifest

pytestmark = pytest.mark.parallel
MAC = "02:00:00:00:00:2a"


def test_one_is_started_restarted_stopped_and_deleted() -> None:
    with existing(vm_manifest("whole-life", "Halted")) as name:
        has(name, "Stopped")
        assert get("vm", name)["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"]
        request(name, "start")
        has(name, "Running")
        wait("vm", name, "condition=Ready")
        first = Guest(name)
        uid, pid = first.vmi["metadata"]["uid"], first.qemu_pid()
        found = status(name)
        assert (found["created"], found["ready"]) == (True, True)
        request(name, "restart")
        another_guest_runs(name, uid)
        assert Guest(name).qemu_pid() != pid
        until(lambda: not status(name).get("stateChangeRequests"), "the request to be done")
        request(name, "stop")
        has(name, "Stopped")
        until(lambda: kubectl("get", "vmi", name, "--ignore-not-found") == "", "its guest to go")
        expected = {"SuccessfulCreate", "SuccessfulDelete"}
        await_events(get("vm", name)["metadata"]["uid"], lambda reasons: set(reasons) == expected)
    assert kubectl("get", "vm", "whole-life", "--ignore-not-found") == ""


def test_a_guest_of_an_always_running_one_comes_back_with_the_same_identity() -> None:
    body = vm_manifest("comes-back")
    body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"] = MAC
    with existing(body) as name:
        has(name, "Running")
        vmi = Guest(name).vmi
        kubectl("delete", "pod", Guest(name).pod["metadata"]["name"], "--wait=false")
        another_guest_runs(name, vmi["metadata"]["uid"])
        again = Guest(name).vmi
        for part in ("firmware", "machine"):
            assert again["spec"]["domain"][part] == vmi["spec"]["domain"][part]
        assert vmi["spec"]["domain"]["firmware"]["uuid"] and vmi["spec"]["domain"]["machine"]["type"]
        assert again["status"]["interfaces"][0]["mac"] == vmi["status"]["interfaces"][0]["mac"] == MAC


def test_a_changed_template_waits_for_a_restart_and_a_second_apply_changes_nothing() -> None:
    body = vm_manifest("changing")
    with existing(body) as name:
        has(name, "Running")
        generation = get("vm", name)["metadata"]["generation"]
        apply(body)
        assert get("vm", name)["metadata"]["generation"] == generation
        vmi = Guest(name).vmi["metadata"]["uid"]
        body["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "160Mi"
        apply(body)
        # `kubectl wait --for condition=` waits for status.observedGeneration, which a restart brings
        until(lambda: bool(condition_of(get("vm", name), "RestartRequired")), "the condition RestartRequired")
        assert "domain.memory.guest" in condition_of(get("vm", name), "RestartRequired")["message"]
        assert Guest(name).vmi["metadata"]["uid"] == vmi
        request(name, "restart")
        another_guest_runs(name, vmi)
        assert Guest(name).vmi["spec"]["domain"]["memory"]["guest"] == "160Mi"


def test_a_forced_stop_does_not_wait_for_the_guest() -> None:
    body = vm_manifest("forced")
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 600
    body["spec"]["template"]["spec"]["domain"]["features"] = {"acpi": {"enabled": False}}
    with existing(body) as name:
        has(name, "Running")
        assert Guest(name).pod["spec"]["terminationGracePeriodSeconds"] > 600
        request(name, "stop", gracePeriod=0)
        until(lambda: kubectl("get", "vmi", name, "--ignore-not-found") == "", "its guest to go")
        has(name, "Stopped")


def test_an_orphaned_guest_keeps_running() -> None:
    body = vm_manifest("orphaned")
    with existing(body) as name:
        has(name, "Running")
        pid = Guest(name).qemu_pid()
        kubectl("delete", "vm", name, "--cascade=orphan", "--wait", "--timeout=180s")
        assert "ownerReferences" not in Guest(name).vmi["metadata"]
        assert Guest(name).qemu_pid() == pid
        kubectl("delete", "vmi", name, "--wait", "--timeout=180s")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runStrategy", "Sometimes"),
        ("dataVolumeTemplates", [{"metadata": {"name": "x"}, "spec": {}}]),
        ("updateVolumesStrategy", "Migration"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(field: str, value: Any) -> None:
    body = vm_manifest("refused-vm", "Halted")
    body["spec"][field] = value
    with pytest.raises(AssertionError, match=rf"spec\.{field}"):
        kubectl("create", "-f", "-", stdin=json.dumps(body))
    body = vm_manifest("refused-vm", "Halted")
    body["spec"]["template"]["spec"]["domain"]["devices"]["gpus"] = [{"name": "g", "deviceName": "d"}]
    with pytest.raises(AssertionError, match=r"spec\.template\.spec\.domain\.devices\.gpus"):
        kubectl("create", "-f", "-", stdin=json.dumps(body))

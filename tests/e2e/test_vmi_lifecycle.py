"""What remains of a deleted VMI, the status of a VMI whose guest ends, and of one that cannot start."""

from __future__ import annotations

import json
import subprocess

import pytest
from localcluster.settings import Cluster

from tests.e2e.cluster import apply, get, kubectl, process, processes, until, wait
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest, await_events, created, manifest, observed, running

pytestmark = pytest.mark.parallel


def test_nothing_is_left_of_a_deleted_vmi() -> None:
    with running(manifest("fleeting")) as (guest,):
        made_by, uid = guest.vmi["metadata"]["uid"], guest.pod["metadata"]["uid"]
        assert process(uid, "qemu-system") is not None
    assert get("pods", "-l", f"kubevirt.io/created-by={made_by}")["items"] == []
    assert processes(uid) == []
    state = Cluster.load().state
    until(lambda: not list(state.glob(f"node*/kubelet/pods/{uid}")), "the kubelet to remove the pod's folder")


@pytest.mark.parametrize(("grace", "phase", "event"), [(30, "Succeeded", "Stopped"), (0, "Failed", "GuestDestroyed")])
def test_a_deleted_vmi_shows_how_its_guest_ended_before_it_is_gone(grace: int, phase: str, event: str) -> None:
    body = manifest(f"last-words-{grace}")
    body["spec"]["terminationGracePeriodSeconds"] = grace
    with running(body) as (guest,):
        uid = guest.vmi["metadata"]["uid"]
        _until_it_has_booted(guest)
        # From now on, also if kubectl is slow to begin.
        selected = (
            f"fieldSelector=metadata.name={guest.name}&resourceVersion={guest.vmi['metadata']['resourceVersion']}"
        )
        path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances?watch=1&timeoutSeconds=300"
        argv = ["kubectl", "get", "--raw", f"{path}&{selected}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watch:
            try:
                kubectl("delete", "vmi", guest.name, "--wait", "--timeout=180s")
                assert watch.stdout is not None
                phases = []
                for line in watch.stdout:
                    change = json.loads(line)
                    phases.append(change["object"]["status"]["phase"])
                    if change["type"] == "DELETED":
                        break
            finally:
                watch.kill()
    print(f"phases seen: {list(dict.fromkeys(phases))}")
    assert phases[0] == "Running" and phases[-1] == phase
    happened = await_events(uid, lambda reasons: len(reasons) >= 5)
    print(f"events: {happened}")
    # Whoever records the end, handler or controller, reports it under its own reason.
    (end,) = set(happened) - {"SuccessfulCreate", "Created", "Started", "Deleted"}
    assert end in ("Stopped", event)
    assert len(happened) == len(set(happened)) == 5


def _until_it_has_booted(guest: Guest) -> None:
    """Its driver of the power button comes with the last of its services."""
    with observed(guest):
        pass


async def test_a_guest_that_powers_off_succeeds_and_one_that_is_killed_fails() -> None:
    with running(manifest("leaver"), manifest("victim")) as (leaver, victim):
        found = process(victim.pod["metadata"]["uid"], r"^\S*qemu-system")
        assert found is not None
        found.kill()
        wait("vmi", victim.name, "jsonpath={.status.phase}=Failed")
        async with Shell.of(leaver) as shell:
            await shell.type("poweroff")
            wait("vmi", leaver.name, "jsonpath={.status.phase}=Succeeded")
        for guest in (leaver, victim):
            until(lambda guest=guest: guest.pod["status"]["phase"] in ("Succeeded", "Failed"), "its pod to complete")  # type: ignore[misc]


def test_an_unsupported_field_is_refused_by_name_also_without_validation() -> None:
    body = manifest("refused")
    body["spec"]["domain"]["devices"]["gpus"] = [{"name": "g", "deviceName": "d"}]
    with pytest.raises(AssertionError, match=r"spec\.domain\.devices\.gpus"):
        kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(body))
    assert kubectl("get", "vmi", "refused", "--ignore-not-found") == ""


def test_an_image_that_does_not_exist_is_named() -> None:
    body = manifest("imageless")
    container = body["spec"]["domain"]["firmware"]["kernelBoot"]["container"]
    container["image"] = container["image"] + "-not-there"
    try:
        apply(body)
        until(
            lambda: "not-there" in kubectl("get", "vmi", "imageless", "-o", "jsonpath={.status.conditions}"),
            "the reason",
        )
    finally:
        kubectl("delete", "vmi", "imageless", "--ignore-not-found", "--wait")


def test_a_kernel_that_is_not_in_its_image_is_named_and_the_launcher_goes() -> None:
    body = manifest("kernelless")
    body["spec"]["domain"]["firmware"]["kernelBoot"]["container"]["kernelPath"] = "/boot/nothing"
    with created(body) as (guest,):
        wait("vmi", guest.name, "jsonpath={.status.phase}=Failed")
        conditions = kubectl("get", "vmi", guest.name, "-o", "jsonpath={.status.conditions}")
        assert "kernel-boot: Error (exit code 1) /boot/nothing: No such file" in conditions, conditions
        until(lambda: f"virt-launcher-{guest.name}" not in kubectl("get", "pods", "-o", "name"), "its pod to go")

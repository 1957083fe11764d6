"""To the next release, back and forward again, while a guest runs on each node, created by either release.

tests/next_release/edits.py says what the next release has more. From the recorded release to this tree and back:
test_real_releases.py.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.builds import (
    NEXT,
    TODAY,
    by_image_tag,
    by_manifest,
    condition,
    images,
    pull,
    reached,
    renamed,
    set_image_tag,
    suite,
)
from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, nodes, until
from tests.e2e.guests import MAX_GAP, Guest, manifest, observed, running, undisturbed
from tests.e2e.migrations import migratable
from tests.e2e.travelling import UP, Change, component_pods, launcher_of, left_alone, set_workload_updates, travel
from tests.e2e.watching import template_variables
from tests.next_release.edits import FIELD_NUMBER, NEWEST, next_version

pytestmark = pytest.mark.usefixtures("back_to_today")

REPORTED_WITHIN = 90.0  # seconds until a condition names what is wrong, on a busy machine
NEWEST_KINDS = {
    "validatingadmissionpolicy",
    "validatingadmissionpolicybinding",
    "validatingwebhookconfiguration",
}
NOTE = "kept by the release that does not know it"
VERSION = (ROOT / "VERSION").read_text().strip()


@pytest.fixture(scope="module", autouse=True)
def images_on_nodes() -> None:
    """Images of both builds on all nodes."""
    for build in (NEXT, TODAY):
        pull(build)


def noted(name: str, node: str = "") -> dict[str, Any]:
    """A machine with the field that only the next release has."""
    body = manifest(name, node=node)
    body["spec"]["domain"]["note"] = NOTE
    return body


def check_next_release(old: Guest) -> None:
    """What is new in the next release is there, and a launcher of the old one refuses it by name."""
    assert template_variables("virt-controller")["NEXT_RELEASE"] == "yes"
    assert newest_objects() == NEWEST_KINDS
    node = old.vmi["status"]["nodeName"]
    handlers = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-handler")["items"]
    handler = next(pod for pod in handlers if pod["spec"]["nodeName"] == node)["metadata"]["name"]
    script = Path(__file__).with_name("start_machine.py").read_text()
    python = ("/opt/kubevirt/bin/python", "-c", script, old.pod["metadata"]["uid"])
    answer = json.loads(kubectl("-n", NAMESPACE, "exec", handler, "--", *python))
    print(f"next release's handler to an old launcher: {answer}")
    assert "machine-note" not in answer["launcher"]["features"]
    assert answer["sender"] == {"reason": "UNSUPPORTED_BY_PEER", "field": "StartMachineRequest.machine.note"}
    field = f"StartMachineRequest.machine.{FIELD_NUMBER}"
    assert answer["receiver"] == {"code": "FAILED_PRECONDITION", "reason": "UNSUPPORTED_BY_PEER", "field": field}


def newest_objects() -> set[str]:
    """Kinds of the objects that only the next release has."""
    return {kind for kind in NEWEST_KINDS if kubectl("get", kind, NEWEST, "--ignore-not-found", "-o", "name")}


def check_this_release(young: Guest) -> None:
    """What the next release stored is kept though this one does not know it, and is refused in a new machine."""
    assert "NEXT_RELEASE" not in template_variables("virt-controller")
    assert newest_objects() == set(), "what only the next release has is removed, also by an older manifest's operator"
    assert young.vmi["spec"]["domain"]["note"] == NOTE
    assert young.phase == "Running"
    with pytest.raises(AssertionError, match=r"spec\.domain\.note") as refused:
        kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(noted("refused")))
    print(f"this release of a machine with the field: {refused.value}")


def journey(change: Change) -> None:
    """Up and down, and up again; all guests tick on, whichever build they were made on."""
    first, second = nodes()
    with ExitStack() as stack:
        old = stack.enter_context(running(manifest("old1", node=first), manifest("old2", node=second)))
        ticks = [stack.enter_context(observed(*old))]
        pids = {guest.name: guest.qemu_pid() for guest in old}
        travel(change, NEXT, UP)
        check_next_release(old[0])
        own = [left_alone(noted("young1", node=first)), left_alone(manifest("young2", node=second))]
        *young, updated = stack.enter_context(running(*own, migratable("updated")))
        ticks.append(stack.enter_context(observed(*young, name="observer-young")))
        pids |= {guest.name: guest.qemu_pid() for guest in young}
        check_description(young[0])
        travel(change, TODAY, UP[::-1])
        check_this_release(young[0])
        check_workload_update(updated)
        travel(change, NEXT, UP)
        assert young[0].vmi["spec"]["domain"]["note"] == NOTE
        check_description(young[0])
        time.sleep(2 * MAX_GAP)  # a gap must have had the time to show
        seen = {name: tick for read in ticks for name, tick in read().items()}
        undisturbed(seen, [*old, *young], pids)


def check_description(guest: Guest) -> None:
    """The field has reached the hypervisor."""
    code = "import libvirt; print(libvirt.open('qemu:///session').listAllDomains()[0].XMLDesc())"
    pod = guest.pod["metadata"]["name"]
    domain = kubectl("exec", pod, "-c", "compute", "--", "/opt/kubevirt/bin/python", "-c", code)
    assert f"<description>{NOTE}</description>" in domain


def check_workload_update(guest: Guest) -> None:
    """A guest of the other release migrates to a launcher of this one, once that is wanted."""
    assert not launcher_of(guest).endswith(TODAY.tag)
    with observed(guest, name="observer-updated") as ticks:
        began = time.monotonic()
        set_workload_updates(["LiveMigrate"])
        try:
            until(lambda: launcher_of(guest).endswith(TODAY.tag), "the guest to have a launcher of this release")
        finally:
            set_workload_updates([])
        print(f"a guest has a launcher of this release after {time.monotonic() - began:.1f} s")
        assert len(ticks()[guest.name].boots) == 1 and guest.phase == "Running"
    outdated = "kubevirt.io/outdatedLauncherImage"
    until(lambda: outdated not in guest.vmi["metadata"]["labels"], "the launcher not to be outdated any more")


@pytest.mark.slow
@pytest.mark.parametrize("change", [by_manifest, by_image_tag])
def test_guests_tick_through_up_down_and_up_again(change: Change) -> None:
    journey(change)


@pytest.mark.slow
def test_tags_that_are_no_versions_go_up_and_down_by_the_release_behind_them() -> None:
    registry = images(TODAY)["virt-operator"].rpartition("/")[0]
    newer, older = renamed(NEXT, "prod-41", registry), renamed(TODAY, "blue", registry)
    pull(newer)
    pull(older)
    travel(by_image_tag, newer, UP)
    assert suite()["status"]["observedRelease"] == next_version(VERSION)
    travel(by_image_tag, older, UP[::-1])
    assert suite()["status"]["observedRelease"] == VERSION
    kept = get("crd", "virtualmachineinstances.kubevirt.io")["metadata"]["annotations"]
    assert kept["kubevirt.io/install-strategy-release"] == next_version(VERSION), "a definition only grows"


@pytest.mark.parametrize(
    ("tag", "registry"),
    [
        pytest.param("0.2.0-absent", None, id="no such image"),
        pytest.param(None, "172.30.0.200:5000", id="dead registry", marks=pytest.mark.slow),
    ],
)
def test_an_image_that_cannot_be_had_is_named_and_what_is_installed_stays(
    tag: str | None, registry: str | None
) -> None:
    before = component_pods()
    image = f"{registry or images(TODAY)['virt-operator'].rpartition('/')[0]}/virt-"
    began = time.monotonic()
    try:
        set_image_tag(tag, registry)

        def is_reported() -> bool:
            message = json.dumps(suite()["status"])
            return image in message and (tag or registry or "") in message and "Pull" in message

        until(is_reported, "a condition with image and reason", REPORTED_WITHIN, every=0.5)
        print(f"reported after {time.monotonic() - began:.1f} s: {condition('Progressing')['message']}")
        assert condition("Available")["status"] == "True"
        assert component_pods() == before
        with running(manifest("meanwhile")) as (guest,):
            assert guest.phase == "Running"
    finally:
        set_image_tag(None)
        reached(TODAY)

"""A guest is kept on the launcher of a recorded release: it starts there, moves to one like it, and is up to date until
nobody asks for it any more. Serial: the default of a namespace concerns every guest in it.

Skipped where the release's images were not built: `make images RELEASE=0.1.0` builds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from localcluster.releases import recorded

from tests.e2e.builds import Build
from tests.e2e.cluster import ROOT, kubectl, until, wait
from tests.e2e.guests import Guest, image, manifest, running
from tests.e2e.migrations import launchers, migrate
from tests.e2e.virtual_machines import existing, has, vm_manifest

pytestmark = pytest.mark.slow

RELEASE = "0.1.0"
PIN = "kubevirt.io/launcher-release"
OUTDATED = "kubevirt.io/outdatedLauncherImage"


@pytest.fixture(scope="module")
def old() -> Build:
    """The recorded release, whose launcher's image is in the registry of the suite's."""
    build = Build(RELEASE, ROOT / "build" / "releases" / RELEASE / "build")
    if not (build.folder / "tag").exists():
        pytest.skip(f"release {RELEASE} was not built: run make images RELEASE={RELEASE}")
    return build


def launcher_of(guest: Guest) -> str:
    """As the status has it, which follows the pod."""
    return str(guest.vmi["status"].get("launcherContainerImageVersion", ""))


def old_launcher(build: Build) -> str:
    """The image of its launcher."""
    return f"{image('virt-launcher').rpartition(':')[0]}:{build.tag}"


def qemu(guest: Guest) -> str:
    """The version of the QEMU in the guest's only pod."""
    (pod,) = launchers(guest.name)
    shown = kubectl("exec", pod, "-c", "compute", "--", "qemu-system-x86_64", "--version")
    found = re.search(r"version (\d+\.\d+)", shown)
    assert found is not None, shown
    return found[1]


def recorded_qemu() -> str:
    """That of the recorded release's launcher."""
    found = re.search(r"(\d+\.\d+)", recorded.release(RELEASE).launcher.packages["qemu-system-x86"].partition(":")[2])
    assert found is not None
    return found[1]


def pinned(name: str, tag: str) -> dict[str, Any]:
    """A VirtualMachine that asks for a launcher."""
    body = vm_manifest(name)
    body["metadata"]["annotations"] = {PIN: tag}
    return body


def moves(guest: Guest, name: str) -> None:
    wait("vmi", guest.name, "condition=LiveMigratable")
    status = migrate(name, guest.name)
    assert status["phase"] == "Succeeded", status
    until(lambda: len(launchers(guest.name)) == 1, "the source's pod to end")


@contextmanager
def default_of_namespace(tag: str) -> Iterator[None]:
    """Meanwhile new guests get that launcher."""
    kubectl("annotate", "namespace", "default", f"{PIN}={tag}")
    try:
        yield
    finally:
        kubectl("annotate", "namespace", "default", f"{PIN}-")


def runs_in(guest: Guest, launcher: str) -> None:
    """The object says so after the migration has ended."""
    until(lambda: launcher_of(guest) == launcher, f"{guest.name} to run in {launcher}")


def becomes_outdated(guest: Guest, pin: str) -> None:
    """The VirtualMachine's annotation changes, and its guest's launcher is not the one any more that it asks for."""
    until(lambda: OUTDATED not in guest.vmi["metadata"].get("labels", {}), "the launcher to be up to date")
    kubectl("annotate", "vm", guest.name, pin, "--overwrite")
    until(lambda: OUTDATED in guest.vmi["metadata"].get("labels", {}), "the launcher to be outdated")


def test_a_pinned_guest_starts_and_moves_on_the_older_launcher_until_the_pin_goes(old: Build) -> None:
    with existing(pinned("pinned", old.tag)):
        has("pinned", "Running", 90)
        guest, uid = Guest("pinned"), Guest("pinned").vmi["metadata"]["uid"]
        runs_in(guest, old_launcher(old))
        assert qemu(guest) == recorded_qemu()
        moves(guest, "pinned-1")
        runs_in(guest, old_launcher(old))
        assert qemu(guest) == recorded_qemu()
        becomes_outdated(guest, f"{PIN}-")
        moves(guest, "pinned-2")
        runs_in(guest, image("virt-launcher"))
        until(lambda: OUTDATED not in guest.vmi["metadata"].get("labels", {}), "the launcher to be up to date")
        assert guest.vmi["metadata"]["uid"] == uid


def test_a_guest_moves_from_this_releases_launcher_to_the_one_that_it_is_pinned_to(old: Build) -> None:
    """Only a guest whose machine type the older QEMU knows can do so, such as one that was started there."""
    with existing(pinned("pinned-late", old.tag)):
        has("pinned-late", "Running", 90)
        guest = Guest("pinned-late")
        becomes_outdated(guest, f"{PIN}=")
        moves(guest, "pinned-late-1")
        runs_in(guest, image("virt-launcher"))
        becomes_outdated(guest, f"{PIN}={old.tag}")
        moves(guest, "pinned-late-2")
        runs_in(guest, old_launcher(old))


def test_a_namespaces_default_reaches_its_new_guests_unless_they_say_otherwise(old: Build) -> None:
    body = manifest("says-otherwise")
    body["metadata"]["annotations"] = {PIN: ""}
    with default_of_namespace(old.tag), running(manifest("by-namespace"), body) as (by_namespace, other):
        assert launcher_of(by_namespace) == old_launcher(old)
        assert qemu(by_namespace) == recorded_qemu()
        assert launcher_of(other) == image("virt-launcher")


@pytest.mark.parametrize("tag", ["0.0.9", "latest"])
def test_a_launcher_that_is_not_started_is_refused_by_field(tag: str) -> None:
    refusal = rf"metadata\.annotations\.{PIN}: '{tag}' is not allowed, use the tag"
    with existing(vm_manifest("unpinned", "Halted")), pytest.raises(AssertionError, match=refusal):
        kubectl("annotate", "vm", "unpinned", f"{PIN}={tag}")

"""The annotation that keeps new starts of a guest on the launcher of an older release. Pure.

Its value is the tag of a launcher's image in the suite's registry. That on the VirtualMachineInstance counts before
that on its namespace; an empty one means the suite's own launcher whatever the namespace says. A VirtualMachine's
template counts before the VirtualMachine itself. virt-api checks it at admission, virt-controller before each pod,
because a later release may not run the launcher any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from virt_core.conventions.images import TAG
from virt_core.conventions.labels import LAUNCHER_RELEASE
from virt_core.conventions.releases import launcher_releases, version_of
from virt_core.release import RELEASE
from virt_core.validation.refusal import Refusal, Refusals, display

FIELD = f"metadata.annotations.{LAUNCHER_RELEASE}"


def launcher_tag(annotations: Mapping[str, str], namespace_default: str) -> str:
    """The tag that counts for a VirtualMachineInstance with these annotations; "": the suite's own launcher."""
    return annotations.get(LAUNCHER_RELEASE, namespace_default)


def tag_of_machine(template: Mapping[str, object], machine: Mapping[str, str]) -> str | None:
    """The value for the VirtualMachineInstance of a VirtualMachine, by the annotations of its template and by its own;
    None: neither has it."""
    found = template.get(LAUNCHER_RELEASE, machine.get(LAUNCHER_RELEASE))
    return found if isinstance(found, str) else None


def why_no_launcher(tag: str, release: str = RELEASE) -> str:
    """Why `release` starts no guest with that launcher; "": it does."""
    allowed = launcher_releases(release)
    if TAG.fullmatch(tag) and version_of(tag) in allowed:
        return ""
    words = " or ".join(allowed)
    return (
        f"{display(tag)} is not allowed, use the tag of a launcher's image that begins with {words}, for example "
        f"{allowed[0]}-3f2a9c: this release starts no other launchers"
    )


def launcher_release_refusals(annotations: Mapping[str, object]) -> Refusals:
    """A refusal if the annotation names a launcher that this release does not start."""
    tag = annotations.get(LAUNCHER_RELEASE)
    if isinstance(tag, str) and tag and (why := why_no_launcher(tag)):
        yield Refusal(FIELD, why)


def launcher_image(own: str, tag: str) -> str:
    """The image of `tag` in the repository of the suite's own launcher image, which may have a digest."""
    folder, slash, name = own.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}:{tag}"

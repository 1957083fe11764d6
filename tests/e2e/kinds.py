"""Small guests of each kind that an upgrade must not disturb, and that move."""

from __future__ import annotations

from typing import Any

from tests.e2e.guests import disk_manifest, image, manifest

KINDS = ("bios", "uefi", "disk", "claim")
"""Those that move; a guest on a bridge stays where it is. "claim" needs a claim of the guest's name."""


def guest_of(kind: str, name: str, node: str = "") -> dict[str, Any]:
    """A guest of that kind; its Service finds it by a label."""
    match kind:
        case "uefi":
            body = manifest(name, node=node, memory="192Mi")
            body["spec"]["domain"]["firmware"]["bootloader"] = {"efi": {"secureBoot": False}}
        case "disk":
            body = disk_manifest(name, {"root": {"containerDisk": {"image": image("guest-disk")}}}, node=node)
        case "claim":
            body = disk_manifest(name, {"claim": {"persistentVolumeClaim": {"claimName": name}}}, node=node)
        case _:
            body = manifest(name, node=node)
    if kind == "bridge":
        body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    body["metadata"]["labels"] = {"moves": name}
    return body

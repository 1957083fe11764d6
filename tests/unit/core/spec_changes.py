"""Changes of the smallest spec, for tests of the rules."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import merge_patch
from virt_core.validation.refusal import Refusal
from virt_core.vmi.instance import parse_spec
from virt_core.vmi.rules.check import spec_refusals

Change = dict[str, Any]
MINIMAL: Change = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
POD = {"name": "default", "pod": {}}
MASQUERADE = {"name": "default", "masquerade": {}}
CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}
TEXT = base64.b64encode(b"#cloud-config\n").decode()


def refusals(change: Change, configuration: Configuration | None = None) -> tuple[Refusal, ...]:
    """What is wrong with the minimal spec after a merge patch."""
    spec = parse_spec(msgspec.Raw(json.dumps(merge_patch(MINIMAL, change)).encode()))
    return spec_refusals(spec, configuration or Configuration())


def domain(**change: Any) -> Change:
    return {"domain": change}


def devices(**change: Any) -> Change:
    return domain(devices=change)


def disk(volume: Change | None = None, **change: Any) -> Change:
    """A disk "d" on a claim, or on another source."""
    return {**devices(disks=[{"name": "d", **change}]), "volumes": [{"name": "d", **(volume or CLAIM)}]}


def volume(**source: Any) -> Change:
    return {"volumes": [{"name": "v", **source}]}


def cloud(**source: Any) -> Change:
    return volume(cloudInitNoCloud=source)


def interface(**change: Any) -> Change:
    return {**devices(interfaces=[{**MASQUERADE, **change}]), "networks": [POD]}


def cidr(text: str, **binding: Any) -> Change:
    network = {"name": "default", "pod": {"vmNetworkCIDR": text}}
    return {**devices(interfaces=[{"name": "default", **(binding or {"masquerade": {}})}]), "networks": [network]}


def resources(**change: Any) -> Change:
    return domain(resources=change)


def efi(**change: Any) -> Change:
    return domain(memory={"guest": "160Mi"}, firmware={"bootloader": {"efi": change}})


def uefi_kernel(memory: str) -> Change:
    kernel = {"container": {"image": "i", "kernelPath": "/k"}}
    firmware = {"bootloader": {"efi": {"secureBoot": False}}, "kernelBoot": kernel}
    return domain(memory={"guest": memory}, firmware=firmware)


def probe(**change: Any) -> Change:
    return {"readinessProbe": change}


def assert_refused(change: Change, field: str, words: str) -> None:
    """The changed spec is refused for one field, in a message with these words."""
    (refused,) = refusals(change)
    assert refused.field == f"spec.{field}"
    assert words in refused.message

"""A launcher's messages reach users without paths of its pod."""

from __future__ import annotations

import msgspec
import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import AcceptedSpec, accept
from virt_handler.machines.user_words import in_user_words

SPEC = {
    "domain": {"devices": {}, "memory": {"guest": "64Mi"}},
    "volumes": [
        {
            "name": "seed",
            "cloudInitNoCloud": {
                "secretRef": {"name": "shop-init"},
                "networkDataSecretRef": {"name": "shop-network"},
            },
        },
        {"name": "settings", "configMap": {"name": "shop-settings"}},
    ],
}
VOLUMES = "/var/run/kubevirt/volumes"


@pytest.fixture(scope="module")
def spec() -> AcceptedSpec:
    return accept(msgspec.Raw(msgspec.json.encode(SPEC)), Configuration())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            f"{VOLUMES}/data/disk.img cannot be opened: Permission denied",
            "disk.img cannot be opened: Permission denied",
        ),
        (
            f"its data source lacks a document: the Secret at {VOLUMES}/seed/userdata has no key userdata or userData",
            "its data source lacks a document: Secret shop-init has no key userdata or userData",
        ),
        (f"the Secret at {VOLUMES}/seed/networkdata has no key", "Secret shop-network has no key"),
        (f"the Secret at {VOLUMES}/of-another-release/userdata has no key", "Secret has no key"),
        (f"is too large: at {VOLUMES}/settings/big/key.txt.", "is too large: at key big/key.txt."),
        (f"{VOLUMES}/settings is too large", "volume settings is too large"),
        ("/dev/kubevirt/data is not a block device", "its device is not a block device"),
        (
            "cannot be reached: nothing has listened on /var/run/kubevirt/container-disks/root.sock for 30 s",
            "cannot be reached: nothing has listened on the socket of its container for 30 s",
        ),
        ("Could not open '/var/run/kubevirt/kernel-boot/kernel'", "Could not open 'the kernel of kernelBoot'"),
        ("/var/run/kubevirt-private/disks/root.qcow2: no space", "the image of disk root: no space"),
        ("Could not open '/var/run/kubevirt-private/disks/data.image'", "Could not open 'the image of disk data'"),
        ("Could not open '/proc/7/fd/19': Permission denied", "Could not open the image: Permission denied"),
        ("the guest powered itself off", "the guest powered itself off"),
        ("/disk/only.img is a corrupt qcow2", "/disk/only.img is a corrupt qcow2"),
    ],
)
def test_a_message_names_what_the_user_knows(spec: AcceptedSpec, message: str, words: str) -> None:
    assert in_user_words(message, spec) == words

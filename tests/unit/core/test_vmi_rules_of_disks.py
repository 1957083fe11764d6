"""Disks and volumes that are refused: by field, value and what is allowed."""

from __future__ import annotations

import base64

import pytest

from tests.unit.core.spec_changes import (
    CLAIM,
    MASQUERADE,
    TEXT,
    Change,
    assert_refused,
    cloud,
    devices,
    disk,
    volume,
)

# Each refused alone: the change, the field, and words of the message.
REFUSED: list[tuple[Change, str, str]] = [
    (devices(disks=[{"name": "d"}]), "domain.devices.disks[0].name", "the name of a volume: there is none"),
    (disk(disk={}, cdrom={}), "domain.devices.disks[0]", "'disk and cdrom' is not allowed, use one of"),
    (disk(disk={"bus": "ide"}), "domain.devices.disks[0].disk.bus", "virtio or sata or scsi or usb"),
    (disk(cdrom={"bus": "virtio"}), "domain.devices.disks[0].cdrom.bus", "sata or scsi"),
    (disk(cdrom={"tray": "ajar"}), "domain.devices.disks[0].cdrom.tray", "open or closed"),
    (disk(cdrom={"readonly": False}), "domain.devices.disks[0].cdrom.readonly", "use true"),
    (disk(lun={"bus": "sata"}), "domain.devices.disks[0].lun.bus", "'sata' is not allowed, use scsi"),
    (disk(lun={}, serial="s"), "domain.devices.disks[0].serial", "'s' is not allowed, use none: a lun has its own"),
    (disk({"emptyDisk": {"capacity": "1Gi"}}, lun={}), "domain.devices.disks[0].lun", "persistentVolumeClaim"),
    (disk({"emptyDisk": {"capacity": "1Gi"}}, shareable=True), "domain.devices.disks[0].shareable", "use false"),
    (disk(disk={"bus": "sata"}, dedicatedIOThread=True), "domain.devices.disks[0].dedicatedIOThread", "bus: virtio"),
    (disk(cache="unsafe"), "domain.devices.disks[0].cache", "none or writethrough or writeback"),
    (
        disk(disk={"readonly": True}),
        "domain.devices.disks[0].disk.bus",
        "'sata' is not allowed, use virtio, scsi or usb",
    ),
    (
        disk({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, disk={"bus": "sata"}),
        "domain.devices.disks[0].disk.bus",
        "nothing on SATA is read-only but a cdrom",
    ),
    (
        volume(persistentVolumeClaim={"claimName": "c", "readOnly": True}),
        "volumes[0].persistentVolumeClaim.readOnly",
        "use false, or a disk of that name",
    ),
    (disk(io="io_uring"), "domain.devices.disks[0].io", "native or threads"),
    (disk(io="native", cache="writeback"), "domain.devices.disks[0].cache", "none with io: native"),
    (disk(errorPolicy="retry"), "domain.devices.disks[0].errorPolicy", "stop or report"),
    (disk(serial="a b"), "domain.devices.disks[0].serial", "256 letters"),
    (disk(serial="a" * 257), "domain.devices.disks[0].serial", "256 letters"),
    (disk(bootOrder=0), "domain.devices.disks[0].bootOrder", "0 is not allowed, use 1 to"),
    (disk(blockSize={}), "domain.devices.disks[0].blockSize.custom", "logical and physical"),
    (
        disk(disk={"bus": "scsi"}, blockSize={"custom": {"logical": 1000, "physical": 4096}}),
        "domain.devices.disks[0].blockSize.custom.logical",
        "a power of two",
    ),
    (
        disk(disk={"bus": "scsi"}, blockSize={"custom": {"logical": 4096, "physical": 512}}),
        "domain.devices.disks[0].blockSize.custom.logical",
        "at most the physical size",
    ),
    (
        {
            **devices(disks=[{"name": "d", "bootOrder": 1}], interfaces=[{**MASQUERADE, "bootOrder": 1}]),
            "volumes": [{"name": "d", **CLAIM}],
        },
        "domain.devices.interfaces[0].bootOrder",
        "disks[0] does not have",
    ),
    ({"volumes": [{"name": "a", **CLAIM}, {"name": "a", **CLAIM}]}, "volumes[1].name", "one that no other has"),
    ({"volumes": [{"name": "../x", **CLAIM}]}, "volumes[0].name", "a DNS label"),
    (volume(), "volumes[0]", "exactly one of containerDisk"),
    (volume(emptyDisk={"capacity": 512}, **CLAIM), "volumes[0]", "'emptyDisk and persistentVolumeClaim'"),
    (volume(containerDisk={"image": ""}), "volumes[0].containerDisk.image", "the reference of an image"),
    (volume(containerDisk={"image": "i", "path": "disk.img"}), "volumes[0].containerDisk.path", "an absolute path"),
    (volume(containerDisk={"image": "i", "path": "/a/../b"}), "volumes[0].containerDisk.path", "without . and .."),
    (
        volume(containerDisk={"image": "i", "imagePullPolicy": "Once"}),
        "volumes[0].containerDisk.imagePullPolicy",
        "Always",
    ),
    (
        volume(containerDisk={"image": "i", "imagePullSecret": "S"}),
        "volumes[0].containerDisk.imagePullSecret",
        "a name",
    ),
    (cloud(), "volumes[0].cloudInitNoCloud", "userData, userDataBase64, secretRef"),
    (cloud(userData="a", userDataBase64=TEXT), "volumes[0].cloudInitNoCloud", "'userData and userDataBase64'"),
    (cloud(userData="a", secretRef={"name": "s"}), "volumes[0].cloudInitNoCloud", "'userData and secretRef'"),
    (
        cloud(userData="x" * 2049),
        "volumes[0].cloudInitNoCloud.userData",
        "2049 bytes are too many, use at most 2048",
    ),
    (cloud(userData="é" * 1025), "volumes[0].cloudInitNoCloud.userData", "2050 bytes are too many"),
    (
        cloud(userDataBase64=base64.b64encode(b"x" * 2049).decode()),
        "volumes[0].cloudInitNoCloud.userDataBase64",
        "2049",
    ),
    (cloud(userDataBase64="!"), "volumes[0].cloudInitNoCloud.userDataBase64", "the value is not allowed, use base64"),
    (cloud(networkData="x" * 2049), "volumes[0].cloudInitNoCloud.networkData", "or networkDataSecretRef"),
    (cloud(secretRef={}), "volumes[0].cloudInitNoCloud.secretRef.name", "'' is not allowed"),
    (
        {"volumes": [{"name": n, "cloudInitNoCloud": {"userData": "x"}} for n in "ab"]},
        "volumes",
        "'2 cloud-init volumes'",
    ),
    (volume(emptyDisk={"capacity": "none"}), "volumes[0].emptyDisk.capacity", "a quantity such as 1Gi"),
    (volume(dataVolume={"name": "A"}), "volumes[0].dataVolume.name", "a name of 253"),
    (volume(persistentVolumeClaim={"claimName": ""}), "volumes[0].persistentVolumeClaim.claimName", "a name of 253"),
    (volume(ephemeral={}), "volumes[0].ephemeral.persistentVolumeClaim", "a claim"),
    (volume(configMap={"name": "c", "volumeLabel": "-x"}), "volumes[0].configMap.volumeLabel", "1 to 32 letters"),
    (volume(secret={}), "volumes[0].secret.secretName", "a name of 253"),
    (volume(serviceAccount={}), "volumes[0].serviceAccount.serviceAccountName", "a name of 253"),
    (
        volume(downwardAPI={"fields": [{"path": "/x", "fieldRef": {}}]}),
        "volumes[0].downwardAPI.fields[0].path",
        "relative",
    ),
    (
        volume(downwardAPI={"fields": [{"path": "x"}]}),
        "volumes[0].downwardAPI.fields[0]",
        "fieldRef and resourceFieldRef",
    ),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSED, ids=[f"{at}: {words}" for _, at, words in REFUSED])
def test_disks_that_this_release_cannot_attach_are_refused_by_field_and_value(
    change: Change, field: str, words: str
) -> None:
    assert_refused(change, field, words)

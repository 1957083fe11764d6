"""The supported volumes and networks of a VirtualMachineInstance. Part of spec/domain.py. Validation:
rules/volumes.py and rules/networks.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from virt_core.validation.strict import Empty, Strict

_HOTPLUG = "a volume of the spec is attached when the guest starts"


class ContainerDisk(Strict, frozen=True):
    """A disk image in a container image. Writes are discarded when the guest ends."""

    image: str
    image_pull_policy: str = ""
    image_pull_secret: str = ""
    path: str = ""
    """Absolute, in the image; empty: the only file in /disk."""


class LocalReference(Strict, frozen=True):
    """An object of the same namespace."""

    name: str = ""


class CloudInit(Strict, frozen=True):
    """A data source for cloud-init, NoCloud or config drive. Inline, base64 and Secret are mutually exclusive."""

    user_data: str = ""
    user_data_base64: str = ""
    secret_ref: LocalReference | None = None
    network_data: str = ""
    network_data_base64: str = ""
    network_data_secret_ref: LocalReference | None = None


class EmptyDisk(Strict, frozen=True):
    """A disk that is empty when the guest starts and is discarded with it."""

    capacity: str | int


class PersistentVolumeClaim(Strict, frozen=True):
    """A claim. In mode Filesystem the disk is the file disk.img, in mode Block it is the device."""

    instead: ClassVar[Mapping[str, str]] = {"hotpluggable": _HOTPLUG}
    claim_name: str
    read_only: bool = False


class DataVolume(Strict, frozen=True):
    """The claim of the DataVolume's name, whoever made it."""

    instead: ClassVar[Mapping[str, str]] = {"hotpluggable": _HOTPLUG}
    name: str


class Ephemeral(Strict, frozen=True):
    """A claim that is only read. Writes are discarded when the guest ends."""

    persistent_volume_claim: PersistentVolumeClaim | None = None


class ConfigMapVolume(Strict, frozen=True):
    """A ConfigMap as files on a disk."""

    name: str = ""
    optional: bool | None = None
    volume_label: str = ""


class SecretVolume(Strict, frozen=True):
    """A Secret as files on a disk."""

    secret_name: str = ""
    optional: bool | None = None
    volume_label: str = ""


class ServiceAccountVolume(Strict, frozen=True):
    """A service account's token as files on a disk."""

    service_account_name: str = ""


class DownwardApiVolume(Strict, frozen=True):
    """Fields of the object as files on a disk."""

    fields: list[dict[str, Any]] = []
    volume_label: str = ""


class Volume(Strict, frozen=True):
    """A name and exactly one source."""

    instead: ClassVar[Mapping[str, str]] = {
        "hostDisk": "use persistentVolumeClaim, bound to a local PersistentVolume",
        "sysprep": "use configMap or secret as a cdrom, where Windows looks for its answer file as well",
    }
    name: str
    container_disk: ContainerDisk | None = None
    cloud_init_no_cloud: CloudInit | None = None
    cloud_init_config_drive: CloudInit | None = None
    empty_disk: EmptyDisk | None = None
    persistent_volume_claim: PersistentVolumeClaim | None = None
    data_volume: DataVolume | None = None
    ephemeral: Ephemeral | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    service_account: ServiceAccountVolume | None = None
    downward_api: DownwardApiVolume | None = msgspec.field(default=None, name="downwardAPI")


class PodNetwork(Strict, frozen=True):
    """The pod's own network."""

    vm_network_cidr: str = msgspec.field(default="", name="vmNetworkCIDR")
    """The network between guest and pod behind a masquerade; empty: 10.0.2.0/24."""


class Network(Strict, frozen=True):
    """The network of the interface of the same name."""

    instead: ClassVar[Mapping[str, str]] = {"multus": "use pod, the only network of this release"}
    name: str
    pod: PodNetwork | None = None


class Masquerade(Empty, frozen=True):
    """NAT: the guest uses the pod's address for outgoing and forwarded traffic."""


class Bridge(Empty, frozen=True):
    """The guest has the pod's address."""

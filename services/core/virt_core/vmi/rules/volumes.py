"""Rules for volumes of a VirtualMachineInstance. Pure; part of rules/check.py."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from virt_core.conventions.images import PULL_POLICIES
from virt_core.objects.quantity import parse_bytes
from virt_core.validation.refusal import (
    DNS_LABEL,
    DNS_NAME,
    FILE,
    IMAGE,
    Refusal,
    Refusals,
    Text,
    at_most,
    below_spec,
    matching,
    matching_if_set,
    one_of,
    refused,
    unique,
    unless,
)
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.effective import cloud_init
from virt_core.vmi.spec.volumes import (
    CloudInit,
    ConfigMapVolume,
    ContainerDisk,
    DataVolume,
    DownwardApiVolume,
    EmptyDisk,
    Ephemeral,
    LocalReference,
    PersistentVolumeClaim,
    SecretVolume,
    ServiceAccountVolume,
    Volume,
)

MAX_INLINE = 2048
"""Maximum size of an inline cloud-init document in bytes, as in KubeVirt; a longer one needs a Secret."""

_MAX_VOLUMES = 32
_MIN_CAPACITY = 512  # a sector
_MAX_CAPACITY = 1 << 50  # 1 PiB: more than any file
_LABEL = Text(re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*"), 32, "1 to 32 letters, digits, spaces and _.-")  # ISO 9660
_MAX_FIELDS = 64
_FIELD_KEYS = frozenset({"path", "fieldRef", "resourceFieldRef", "mode"})
_RELATIVE = Text(
    re.compile(r"(?!\.{1,2}(/|$))[\x21-\x2e\x30-\x7e]+(/(?!\.{1,2}(/|$))[\x21-\x2e\x30-\x7e]+)*"),
    255,
    "a relative path without . and .. in it",
)


def volume_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with spec.volumes."""
    yield from at_most("volumes", spec.volumes, _MAX_VOLUMES)
    yield from unique("volumes", "name", [volume.name for volume in spec.volumes])
    for index, volume in enumerate(spec.volumes):
        yield from _volume(f"volumes[{index}]", volume)
    for kind, names in (
        ("cloud-init", [volume.name for volume in spec.volumes if cloud_init(volume) is not None]),
        ("serviceAccount", [volume.name for volume in spec.volumes if volume.service_account is not None]),
    ):
        yield from unless(len(names) <= 1, "volumes", f"{len(names)} {kind} volumes", "at most one")


def _volume(path: str, volume: Volume) -> Refusals:
    yield from matching(f"{path}.name", volume.name, DNS_LABEL)
    sources = {name: source for name in _SOURCES if (source := getattr(volume, _SOURCES[name][0])) is not None}
    if len(sources) != 1:
        value = " and ".join(sources) or volume.name
        yield refused(path, value, f"exactly one of {', '.join(_SOURCES)}")
    for name, source in sources.items():
        yield from _SOURCES[name][1](f"{path}.{name}", source)


def _container_disk(path: str, disk: ContainerDisk) -> Refusals:
    yield from matching(f"{path}.image", disk.image, IMAGE)
    yield from matching_if_set(f"{path}.path", disk.path, FILE)
    yield from one_of(f"{path}.imagePullPolicy", disk.image_pull_policy, PULL_POLICIES)
    yield from matching_if_set(f"{path}.imagePullSecret", disk.image_pull_secret, DNS_NAME)


def _cloud_init(path: str, source: CloudInit) -> Refusals:
    user = (source.user_data, source.user_data_base64, source.secret_ref)
    network = (source.network_data, source.network_data_base64, source.network_data_secret_ref)
    yield from _document(path, dict(zip(("userData", "userDataBase64", "secretRef"), user, strict=True)))
    names = ("networkData", "networkDataBase64", "networkDataSecretRef")
    yield from _document(path, dict(zip(names, network, strict=True)))
    if not any((*user, *network)):
        yield refused(path, "nothing", "userData, userDataBase64, secretRef or their like for networkData")


def _document(path: str, forms: Mapping[str, str | LocalReference | None]) -> Refusals:
    """At most one of three forms: inline, in base64, in a Secret."""
    named = [form for form, value in forms.items() if value]
    if len(named) > 1:
        yield refused(path, " and ".join(named), "one of them")
    *_, secret = forms
    for form, value in forms.items():
        if isinstance(value, LocalReference):
            yield from matching(f"{path}.{form}.name", value.name, DNS_NAME)
        elif value and form.endswith("Base64"):
            yield from _encoded(f"{path}.{form}", value, secret)
        elif value:
            yield from _inline(f"{path}.{form}", value.encode(), secret)


def _encoded(path: str, value: str, secret: str) -> Refusals:
    try:
        document = decoded_base64(value)
    except ValueError:
        yield refused(path, value, "base64")
        return
    yield from _inline(path, document, secret)


def decoded_base64(value: str) -> bytes:
    """The bytes that `value` encodes, in lines of any length, as base64(1) prints them.

    Raises:
        ValueError: it is not base64.
    """
    return base64.b64decode("".join(value.split()), validate=True)


def _inline(path: str, document: bytes, secret: str) -> Refusals:
    if len(document) > MAX_INLINE:
        yield Refusal(
            below_spec(path), f"{len(document)} bytes are too many, use at most {MAX_INLINE} bytes, or {secret}"
        )


def _empty_disk(path: str, disk: EmptyDisk) -> Refusals:
    try:
        valid = _MIN_CAPACITY <= parse_bytes(str(disk.capacity)) <= _MAX_CAPACITY
    except ValueError:
        valid = False
    yield from unless(valid, f"{path}.capacity", disk.capacity, "a quantity such as 1Gi, at most 1Pi")


def _claim(path: str, claim: PersistentVolumeClaim) -> Refusals:
    yield from matching(f"{path}.claimName", claim.claim_name, DNS_NAME)


def _data_volume(path: str, volume: DataVolume) -> Refusals:
    yield from matching(f"{path}.name", volume.name, DNS_NAME)


def _ephemeral(path: str, source: Ephemeral) -> Refusals:
    if source.persistent_volume_claim is None:
        yield refused(f"{path}.persistentVolumeClaim", "", "a claim")
    else:
        yield from _claim(f"{path}.persistentVolumeClaim", source.persistent_volume_claim)


def _config_map(path: str, source: ConfigMapVolume) -> Refusals:
    yield from matching(f"{path}.name", source.name, DNS_NAME)
    yield from matching_if_set(f"{path}.volumeLabel", source.volume_label, _LABEL)


def _secret(path: str, source: SecretVolume) -> Refusals:
    yield from matching(f"{path}.secretName", source.secret_name, DNS_NAME)
    yield from matching_if_set(f"{path}.volumeLabel", source.volume_label, _LABEL)


def _service_account(path: str, source: ServiceAccountVolume) -> Refusals:
    yield from matching(f"{path}.serviceAccountName", source.service_account_name, DNS_NAME)


def _downward_api(path: str, source: DownwardApiVolume) -> Refusals:
    yield from matching_if_set(f"{path}.volumeLabel", source.volume_label, _LABEL)
    yield from at_most(f"{path}.fields", source.fields, _MAX_FIELDS)
    for index, field in enumerate(source.fields):
        yield from _downward_field(f"{path}.fields[{index}]", field)


def _downward_field(path: str, field: Mapping[str, Any]) -> Refusals:
    """The API server validates fieldRef and resourceFieldRef when the pod is created."""
    for key in field.keys() - _FIELD_KEYS:
        yield refused(path, key, " or ".join(sorted(_FIELD_KEYS)))
    name = field.get("path")
    yield from unless(isinstance(name, str) and _RELATIVE.accepts(name), f"{path}.path", name, _RELATIVE.words)
    references = [key for key in ("fieldRef", "resourceFieldRef") if isinstance(field.get(key), dict)]
    yield from unless(len(references) == 1, path, " and ".join(references), "one of fieldRef and resourceFieldRef")


_SOURCES: Mapping[str, tuple[str, Callable[[str, Any], Refusals]]] = {
    "containerDisk": ("container_disk", _container_disk),
    "cloudInitNoCloud": ("cloud_init_no_cloud", _cloud_init),
    "cloudInitConfigDrive": ("cloud_init_config_drive", _cloud_init),
    "emptyDisk": ("empty_disk", _empty_disk),
    "persistentVolumeClaim": ("persistent_volume_claim", _claim),
    "dataVolume": ("data_volume", _data_volume),
    "ephemeral": ("ephemeral", _ephemeral),
    "configMap": ("config_map", _config_map),
    "secret": ("secret", _secret),
    "serviceAccount": ("service_account", _service_account),
    "downwardAPI": ("downward_api", _downward_api),
}

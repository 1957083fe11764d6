"""Puts the user's words into a launcher's messages. Pure; called by status.py and reconcile.py.

A launcher knows files of its pod and no object of Kubernetes, so its messages and those of QEMU name paths. A user
knows volumes, Secrets and their keys. Messages of other releases differ: whatever is no path of a pod stays.
"""

from __future__ import annotations

import re

from virt_core.conventions import launcher_pod
from virt_core.vmi.accepted import AcceptedSpec, RefusedSpec
from virt_core.vmi.spec.effective import cloud_init

_NAME = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"  # of a volume
_FILE = r"(?:[^\s'\":;,]*[^\s'\":;,.])"  # the rest of a path, without what ends a sentence
_VOLUME = re.compile(rf"(the Secret at )?{launcher_pod.VOLUMES}/({_NAME})(?:/({_FILE}))?")
_CREDENTIALS = re.compile(rf"{launcher_pod.ACCESS_CREDENTIALS}/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?:/({_FILE}))?")
_DOCUMENTS = {"userdata": "secret_ref", "networkdata": "network_data_secret_ref"}
_OTHERS = (
    (re.compile(rf"{launcher_pod.BLOCK_DEVICES}/{_NAME}"), "its device"),
    (re.compile(rf"{launcher_pod.CONTAINER_DISKS}/{_NAME}\.sock"), "the socket of its container"),
    (re.compile(rf"{launcher_pod.PRIVATE}/disks/({_NAME})\.(?:qcow2|iso|image)(?:\.part)?"), r"the image of disk \1"),
    (re.compile(re.escape(launcher_pod.KERNEL)), "the kernel of kernelBoot"),
    (re.compile(re.escape(launcher_pod.INITRD)), "the initrd of kernelBoot"),
    (re.compile(r"'?/proc/(?:self|\d+)/fd/\d+'?"), "the image"),
)


def in_user_words(message: str, spec: AcceptedSpec | RefusedSpec) -> str:
    """The message without paths of the launcher's pod."""
    message = _VOLUME.sub(lambda found: _volume(found, spec), message)
    message = _CREDENTIALS.sub(
        lambda found: f"key {found[2]} of Secret {found[1]}" if found[2] else f"Secret {found[1]}", message
    )
    for path, words in _OTHERS:
        message = path.sub(words, message)
    return message


def _volume(found: re.Match[str], spec: AcceptedSpec | RefusedSpec) -> str:
    name, file = found[2], found[3] or ""
    document = _DOCUMENTS.get(file)
    if document is not None:
        return f"Secret {_secret(name, document, spec)}".rstrip()
    if not file:
        return f"volume {name}"
    return file if file == "disk.img" else f"key {file}"


def _secret(name: str, document: str, spec: AcceptedSpec | RefusedSpec) -> str:
    """The Secret of a cloud-init document; empty if the spec does not show it."""
    volumes = spec.spec.volumes if isinstance(spec, AcceptedSpec) else []
    for volume in volumes:
        source = cloud_init(volume)
        if volume.name == name and source is not None:
            reference = getattr(source, document)
            return reference.name if reference is not None else ""
    return ""

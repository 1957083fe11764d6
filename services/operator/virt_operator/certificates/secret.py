"""A TLS Secret with its key pair. Pure; decoded by the watches of authority.py and reconcile/."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping

import msgspec
from virt_core.conventions.certificate_files import BUNDLE, KEY, LEAF
from virt_core.objects.meta import ObjectMeta

from virt_operator.certificates.issue import KeyPair

AUTHORITY_SECRET = "kubevirt-ca"  # noqa: S105 - the name of an object


class CertificateSecret(msgspec.Struct, frozen=True):
    """A Secret of type kubernetes.io/tls."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


def key_pair_of(data: Mapping[str, str]) -> KeyPair:
    """The key pair in a Secret's `data`; parts that are absent or not base64 are empty."""
    return KeyPair(*(_part(data, key) for key in (LEAF, KEY, BUNDLE)))


def data_of(pair: KeyPair) -> dict[str, str]:
    """The `data` of a Secret with `pair`."""
    files = {LEAF: pair.certificate, KEY: pair.key, BUNDLE: pair.bundle}
    return {key: b64encode(content).decode() for key, content in files.items()}


def _part(data: Mapping[str, str], key: str) -> bytes:
    try:
        return b64decode(data.get(key, ""))
    except binascii.Error:
        return b""

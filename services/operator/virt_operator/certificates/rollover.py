"""The authority in Secret kubevirt-ca, and its replacement without failed calls. Pure.

A successor is created when the authority must be renewed. First it is added to every bundle. When every pod reports
that it trusts the new bundle (GetInfo), the successor becomes the signer, and every leaf is reissued. When the last
leaf of the old authority has expired, the old one is removed from the bundles. A pod that does not answer delays the
rollover, but only until shortly before the old authority expires. Called by plan.py; authority.py reads and writes the
Secret.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from virt_core.conventions.certificate_files import BUNDLE, KEY, LEAF
from virt_core.conventions.issuing import CLOCK_SKEW, ISSUING, Issuing, read_issuing
from virt_core.objects.meta import rfc3339

from virt_operator.certificates.issue import KeyPair
from virt_operator.certificates.rotation import Rotation
from virt_operator.certificates.secret import data_of, key_pair_of

_NEXT_CERTIFICATE, _NEXT_KEY, _OLD_LEAVES_END = "next.crt", "next.key", "old-leaves-end"
_LEAST_MARGIN = timedelta(seconds=150)  # time to issue leaves and for the kubelet to update them in pods
_SETTLED = timedelta(seconds=15)  # time for the API server to use the bundles in APIServices and webhooks
_SILENT = timedelta(minutes=5)  # time after which pods without the bundle are reported


@dataclass(frozen=True, slots=True)
class Authority:
    """The state of the authority."""

    signer: KeyPair
    """The current signer; its bundle has all trusted authorities, newest first."""

    successor: KeyPair | None = None
    """The next signer, once every pod trusts it."""

    issuing: Issuing = field(default_factory=Issuing)
    """The current rules for leaves."""

    old_leaves_end: datetime | None = None
    """When the last leaf of earlier authorities expires; None if unknown."""

    @property
    def bundle(self) -> bytes:
        """All trusted authorities, PEM."""
        return self.signer.bundle

    @property
    def bundle_sha256(self) -> str:
        """As GetInfo reports it."""
        return hashlib.sha256(self.bundle).hexdigest()


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of a rollover: the Secret's new contents; None means `authority` with a new successor."""

    why: str
    to: Authority | None


def read_authority(data: Mapping[str, str]) -> Authority | None:
    """The authority in a Secret's `data`; None if it cannot sign."""
    signer = key_pair_of(data)
    if validity(signer) is None or not _certificates(signer.bundle):
        return None
    following = key_pair_of({LEAF: data.get(_NEXT_CERTIFICATE, ""), KEY: data.get(_NEXT_KEY, "")})
    issuing = read_issuing(_text(data, ISSUING))
    issuing = _signed_by(issuing, signer)
    ends = _moment(_text(data, _OLD_LEAVES_END))
    return Authority(signer, following if validity(following) is not None else None, issuing, ends)


def authority_data(authority: Authority) -> dict[str, str | None]:
    """The Secret's `data` for `authority`; None for a key to remove."""
    following = authority.successor
    ends = authority.old_leaves_end
    return {
        **data_of(authority.signer),
        _NEXT_CERTIFICATE: _base64(following.certificate) if following is not None else None,
        _NEXT_KEY: _base64(following.key) if following is not None else None,
        ISSUING: _base64(msgspec.json.encode(authority.issuing)),
        _OLD_LEAVES_END: _base64(rfc3339(ends).encode()) if ends is not None else None,
    }


def trust_data(authority: Authority) -> dict[str, str]:
    """The `data` of the Secret, without a key, for pods that request their own leaves."""
    return {BUNDLE: _base64(authority.bundle), ISSUING: _base64(msgspec.json.encode(authority.issuing))}


def with_successor(authority: Authority, successor: KeyPair) -> Authority:
    """`authority` with a successor. It remains the signer."""
    bundle = successor.certificate + authority.bundle
    return replace(authority, signer=replace(authority.signer, bundle=bundle), successor=successor)


def next_step(authority: Authority, rotation: Rotation, behind: Collection[str], now: datetime) -> Step | None:
    """The next step; None if there is none. `behind` are the pods that are not known to trust the whole bundle."""
    issuing = rotation.leaf.issuing(fingerprint(authority.signer.certificate))
    if authority.issuing != issuing:
        return Step("the wanted life of leaves has changed", replace(authority, issuing=issuing))
    if (trusted := _trusted(authority, now)) != authority.bundle:
        changed = replace(authority, signer=replace(authority.signer, bundle=trusted))
        return Step("no leaf of an earlier authority is left", changed)
    if authority.successor is None and now >= _renewal(authority, rotation):
        return Step("it is due", None)
    trusted_by_all = authority.successor is not None and not behind and now >= _settled(authority)
    if trusted_by_all or (authority.successor is not None and now >= last_moment(authority)):
        why = f"its end is near, without an answer of {', '.join(sorted(behind))}" if behind else "everyone trusts it"
        return Step(f"the new authority signs from now on: {why}", _promoted(authority, now))
    return None


def deadlines(authority: Authority, rotation: Rotation) -> list[datetime]:
    """The times at which the next steps are due."""
    rollover = authority.successor is not None
    found = [_settled(authority), last_moment(authority)] if rollover else [_renewal(authority, rotation)]
    old = _old(authority)
    if old and authority.old_leaves_end is not None:
        found.append(authority.old_leaves_end)
    return found + [certificate.not_valid_after_utc for certificate in old]


def last_moment(authority: Authority) -> datetime:
    """When a successor takes over even if not every pod trusts it."""
    begin, end = _must(validity(authority.signer))
    return end - max(_LEAST_MARGIN, (end - begin) / 10)


def stalled(authority: Authority, behind: Collection[str], now: datetime) -> tuple[str, ...]:
    """The pods for which a rollover has been waiting so long that they are reported."""
    if authority.successor is None:
        return ()
    begin, _ = _must(validity(authority.successor))
    return tuple(sorted(behind)) if now - begin > _SILENT else ()


def validity(pair: KeyPair) -> tuple[datetime, datetime] | None:
    """When the certificate was issued and when it ends; None if certificate and key do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if key.public_key() != certificate.public_key():
        return None
    return certificate.not_valid_before_utc + CLOCK_SKEW, certificate.not_valid_after_utc


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate's DER in lower-case hexadecimal."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def _settled(authority: Authority) -> datetime:
    assert authority.successor is not None
    begin, _ = _must(validity(authority.successor))
    return begin + _SETTLED


def _renewal(authority: Authority, rotation: Rotation) -> datetime:
    return rotation.authority.issuing().renewal(*_must(validity(authority.signer)))


def _promoted(authority: Authority, now: datetime) -> Authority:
    successor, before = authority.successor, authority.signer
    assert successor is not None
    _, ends = _must(validity(before))
    # Pods get their new leaves within the margin, but connections may use an old leaf until it expires.
    leaves_end = min(now + max(timedelta(seconds=authority.issuing.duration), _LEAST_MARGIN), ends)
    if authority.old_leaves_end is not None and _old(authority):
        leaves_end = max(leaves_end, authority.old_leaves_end)
    issuing = _signed_by(authority.issuing, successor)
    return Authority(replace(successor, bundle=before.bundle), None, issuing, leaves_end)


def _signed_by(issuing: Issuing, signer: KeyPair) -> Issuing:
    return msgspec.structs.replace(issuing, signer=fingerprint(signer.certificate))


def _trusted(authority: Authority, now: datetime) -> bytes:
    """The desired bundle: successor, signer, and earlier authorities whose leaves may still be in use."""
    old = _old(authority)
    if authority.successor is not None:  # pods are reporting whether they trust this bundle: do not change it
        return b"".join([authority.successor.certificate, authority.signer.certificate, *map(_pem, old)])
    over = authority.old_leaves_end is not None and now >= authority.old_leaves_end
    left = [] if over else [certificate for certificate in old if certificate.not_valid_after_utc > now]
    return b"".join([authority.signer.certificate, *map(_pem, left)])


def _old(authority: Authority) -> list[x509.Certificate]:
    own = {x509.load_pem_x509_certificate(authority.signer.certificate)}
    if authority.successor is not None:
        own.add(x509.load_pem_x509_certificate(authority.successor.certificate))
    return [certificate for certificate in _certificates(authority.bundle) if certificate not in own]


def _certificates(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _must(found: tuple[datetime, datetime] | None) -> tuple[datetime, datetime]:
    assert found is not None  # read_authority accepts no other
    return found


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


def _text(data: Mapping[str, str], key: str) -> str:
    try:
        return b64decode(data.get(key, "")).decode()
    except ValueError:
        return ""


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None

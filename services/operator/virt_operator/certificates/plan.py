"""Which certificates are due, and when the next one will be. Pure; called by install/plan.py with the Secrets it saw.

Renewed at half of their life. A Secret that cannot be read, or that does not belong to the authority, is due at once.
A new authority is first told to everyone (bundles) and signs the leaves that fall due after it; the old one stays in
the bundle until it expires. Not yet: waiting until every peer is known to have the new bundle before it signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from virt_core.api.labels import COMMON_NAME_PREFIX

from virt_operator.certificates.issue import KeyPair
from virt_operator.certificates.secret import AUTHORITY_SECRET


@dataclass(frozen=True, slots=True)
class Leaf:
    """A component's certificate as it should be."""

    secret: str
    common_name: str
    dns_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """What to make now, and what is there."""

    authority: KeyPair | None
    """The one to sign with, unless it is itself due."""

    renew_authority: bool
    leaves: tuple[Leaf, ...]
    """To issue."""

    bundles: tuple[str, ...]
    """Secrets whose leaf is well and whose bundle is not the authority's."""

    next_deadline: datetime | None
    """When the first of the certificates that are there falls due."""


def leaves(namespace: str) -> tuple[Leaf, ...]:
    """The leaves of the suite."""
    return tuple(_leaf(one, namespace) for one in ("virt-api", "virt-controller", "virt-handler"))


def operator_leaf(namespace: str) -> Leaf:
    """The operator's own leaf, which is in no Secret."""
    return _leaf("virt-operator", namespace)


def _leaf(component: str, namespace: str) -> Leaf:
    return Leaf(f"kubevirt-{component}-certs", f"{COMMON_NAME_PREFIX}{component}", (f"{component}.{namespace}.svc",))


def due(secrets: Mapping[str, KeyPair], wanted: tuple[Leaf, ...], now: datetime) -> Due:
    """Compare the Secrets of the suite's namespace, by name, with what is wanted."""
    authority = secrets.get(AUTHORITY_SECRET)
    deadline = authority_deadline(authority) if authority is not None else None
    if authority is None or deadline is None or now >= deadline:
        # Leaves follow in the next pass, when the new authority has been seen.
        readable = authority if deadline is not None else None
        return Due(readable, renew_authority=True, leaves=(), bundles=(), next_deadline=None)
    missing: list[Leaf] = []
    bundles: list[str] = []
    deadlines = [deadline]
    for leaf in wanted:
        pair = secrets.get(leaf.secret)
        renewal = leaf_deadline(leaf, pair, authority) if pair is not None else None
        if pair is None or renewal is None or now >= renewal:
            missing.append(leaf)
            continue
        deadlines.append(renewal)
        if pair.bundle != authority.bundle:
            bundles.append(leaf.secret)
    return Due(authority, False, tuple(missing), tuple(bundles), min(deadlines))


def authority_deadline(authority: KeyPair) -> datetime | None:
    """When to renew it; None if it cannot sign, or its bundle is not one that begins with it."""
    try:
        x509.load_pem_x509_certificates(authority.bundle)
    except ValueError:
        return None
    return _half_life(authority) if authority.bundle.startswith(authority.certificate) else None


def leaf_deadline(leaf: Leaf, pair: KeyPair, authority: KeyPair) -> datetime | None:
    """When to renew what is there; None if it is not the leaf that is wanted."""
    deadline = _half_life(pair)
    if deadline is None:
        return None
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    if names != [leaf.common_name] or tuple(alternative.get_values_for_type(x509.DNSName)) != leaf.dns_names:
        return None
    return deadline if _issued_by_any(certificate, authority.bundle) else None


def _issued_by_any(certificate: x509.Certificate, bundle: bytes) -> bool:
    for authority in x509.load_pem_x509_certificates(bundle):
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _half_life(pair: KeyPair) -> datetime | None:
    """The middle of the certificate's validity; None if certificate, key and bundle are not what they should be."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if key.public_key() != certificate.public_key():
        return None
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) / 2

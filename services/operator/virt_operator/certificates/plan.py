"""Which certificates are due, and when the next one will be. Pure; called by change/renewals.py and own.py.

A leaf is renewed at half of its life (or as the KubeVirt object says), and at once if it cannot be read, lives longer
than wanted, or was not signed by who signs now (rollover.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from virt_core.conventions import components
from virt_core.conventions.labels import COMMON_NAME_PREFIX

from virt_operator.certificates.issue import KeyPair
from virt_operator.certificates.rollover import Authority, Step, deadlines, next_step, stalled, validity
from virt_operator.certificates.rotation import Rotation
from virt_operator.certificates.secret import key_pair_of

_SECRET = re.compile(r"kubevirt-(virt-(?!operator)[a-z]+)-certs")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A component's certificate as it should be."""

    secret: str
    common_name: str
    dns_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """What to make now, and what is there."""

    namespace: str
    """Of the Secrets."""

    authority: Authority | None
    """The one to sign with; None if there is none that can."""

    step: Step | None
    """The next step of the authority's rollover."""

    leaves: tuple[Leaf, ...] = ()
    """Leaves to issue."""

    bundles: tuple[str, ...] = ()
    """Secrets with a valid leaf but an old bundle."""

    trust: bool = False
    """Whether the Secret for pods with their own leaves is out of date."""

    stalled: tuple[str, ...] = ()
    """Pods for which a rollover has been waiting too long."""

    next_deadline: datetime | None = None
    """When the next certificate is due."""


def leaf_of(secret: str, namespace: str) -> Leaf | None:
    """The leaf for a Secret of this name, for example "kubevirt-virt-api-certs"; None for other names.

    Handlers of an earlier release share a leaf; later handlers have a certificate per node (node_requests.py).
    """
    found = _SECRET.fullmatch(secret)
    return _leaf(found[1], namespace) if found is not None else None


def operator_leaf(namespace: str) -> Leaf:
    """The operator's own leaf, which is in no Secret."""
    return _leaf(components.OPERATOR, namespace)


def due(
    namespace: str,
    authority: Authority | None,
    secrets: Mapping[str, Mapping[str, str]],
    wanted: tuple[Leaf, ...],
    *,
    rotation: Rotation,
    behind: Collection[str],
    now: datetime,
) -> Due:
    """Compare the Secrets of the suite's namespace (data by name) with the desired ones.

    `behind` are the pods that are not known to trust the authority's whole bundle.
    """
    if authority is None:
        # Leaves follow in the next pass, with the new authority.
        return Due(namespace, None, Step("there is none that can sign", None))
    missing: list[Leaf] = []
    bundles: list[str] = []
    moments = deadlines(authority, rotation)
    for leaf in wanted:
        pair = key_pair_of(secrets[leaf.secret]) if leaf.secret in secrets else None
        renewal = leaf_renewal(leaf, pair, authority) if pair is not None else None
        if pair is None or renewal is None or now >= renewal:
            missing.append(leaf)
            continue
        moments.append(renewal)
        if pair.bundle != authority.bundle:
            bundles.append(leaf.secret)
    step = next_step(authority, rotation, behind, now)
    waited = stalled(authority, behind, now)
    upcoming = min((moment for moment in moments if moment > now), default=None)
    return Due(namespace, authority, step, tuple(missing), tuple(bundles), stalled=waited, next_deadline=upcoming)


def leaf_renewal(leaf: Leaf, pair: KeyPair, authority: Authority) -> datetime | None:
    """When to renew the leaf in `pair`; None if it is not the desired leaf."""
    life = validity(pair)
    if life is None:
        return None
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    if names != [leaf.common_name] or tuple(alternative.get_values_for_type(x509.DNSName)) != leaf.dns_names:
        return None
    return authority.issuing.renewal(*life) if _signed_by(certificate, authority.signer) else None


def _leaf(component: str, namespace: str) -> Leaf:
    return Leaf(f"kubevirt-{component}-certs", f"{COMMON_NAME_PREFIX}{component}", (f"{component}.{namespace}.svc",))


def _signed_by(certificate: x509.Certificate, signer: KeyPair) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(signer.certificate))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True

"""Making keys and certificates. Called by the executor for what certificates/plan.py found due.

Secrets hold tls.crt, tls.key and ca.crt, PEM: the authority's ca.crt and each leaf's is the bundle of every authority
trusted now, newest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=7)  # as in KubeVirt
LEAF_LIFE = timedelta(hours=24)  # as in KubeVirt
_SKEW = timedelta(minutes=5)  # clocks of nodes need not agree; counted before the beginning


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What a Secret of type kubernetes.io/tls holds, PEM."""

    certificate: bytes
    key: bytes
    bundle: bytes

    def __repr__(self) -> str:
        return "KeyPair(...)"  # never in a log


def new_authority(now: datetime, trusted_before: bytes) -> KeyPair:
    """A new authority; its bundle keeps those of `trusted_before` (PEM) that have not expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kubevirt.io@{int(now.timestamp())}")])
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    old = (
        [one for one in x509.load_pem_x509_certificates(trusted_before) if one.not_valid_after_utc > now]
        if (trusted_before)
        else []
    )
    bundle = b"".join(_pem(one) for one in [certificate, *old])
    return KeyPair(_pem(certificate), _key_pem(key), bundle)


def new_leaf(authority: KeyPair, common_name: str, dns_names: tuple[str, ...], now: datetime) -> KeyPair:
    """A leaf for both ends of a connection, signed by `authority`."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, issuer.subject, key.public_key(), now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in dns_names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return KeyPair(_pem(certificate), _key_pem(key), authority.bundle)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

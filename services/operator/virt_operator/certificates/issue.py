"""Creates keys and certificates. Called by the executor for certificates that certificates/plan.py finds due.

Secrets have tls.crt, tls.key and ca.crt, PEM. ca.crt is the bundle of all trusted authorities, newest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from virt_core.conventions.issuing import CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The contents of a Secret of type kubernetes.io/tls, PEM."""

    certificate: bytes
    key: bytes
    bundle: bytes

    def __repr__(self) -> str:
        return "KeyPair(...)"  # keys must not appear in logs


def new_authority(now: datetime, life: timedelta = timedelta(days=7)) -> KeyPair:
    """A new self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kubevirt.io@{int(now.timestamp())}")])
    certificate = (
        _builder(name, name, key.public_key(), now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(_pem(certificate), _key_pem(key), _pem(certificate))


def new_leaf(
    authority: KeyPair, common_name: str, dns_names: tuple[str, ...], now: datetime, life: timedelta = timedelta(days=1)
) -> KeyPair:
    """A new key and its leaf certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = sign_leaf(authority, common_name, dns_names, key.public_key(), now=now, life=life)
    return KeyPair(certificate, _key_pem(key), authority.bundle)


def sign_leaf(
    authority: KeyPair,
    common_name: str,
    dns_names: tuple[str, ...],
    public: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    life: timedelta,
) -> bytes:
    """A leaf for client and server use, PEM, signed by `authority`. It does not outlive the authority."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    end = min(now + life, issuer.not_valid_after_utc)
    certificate = (
        _builder(name, issuer.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pem(certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
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

"""Forged, wrong and expired certificates for tests, signed by the cluster's own CAs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from virt_core.conventions.labels import COMMON_NAME_PREFIX
from virt_operator.certificates.issue import KeyPair

from tests.e2e.admin import Identity
from tests.e2e.cluster import NAMESPACE, get

_PEM = serialization.Encoding.PEM
_NOW, _DAY = datetime.now(UTC), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate with the key that it signs with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, pair: KeyPair) -> Authority:
        """From PEM."""
        key = serialization.load_pem_private_key(pair.key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(x509.load_pem_x509_certificate(pair.certificate), key)

    @classmethod
    def of_suite(cls) -> Authority:
        """That of the suite, whose Secret only the operator and the cluster's administrators may read."""
        data = {
            key: base64.b64decode(text) for key, text in get("-n", NAMESPACE, "secret", "kubevirt-ca")["data"].items()
        }
        return cls.load(KeyPair(data["tls.crt"], data["tls.key"], data["ca.crt"]))

    @classmethod
    def of_front_proxy(cls, pki: Path) -> Authority:
        """That of kube-apiserver as a client of aggregated APIs; its key is a file of the local cluster."""
        certificate, key = ((pki / f"front-proxy-ca.{end}").read_bytes() for end in ("crt", "key"))
        return cls.load(KeyPair(certificate, key, b""))

    def impostor(self) -> Authority:
        """Another authority of the same name, with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = self.certificate.subject
        builder = _builder(subject, subject, key, _NOW + _DAY).add_extension(x509.BasicConstraints(True, 0), True)
        return Authority(builder.sign(key, hashes.SHA256()), key)

    def leaf(self, common_name: str, *, until: datetime = _NOW + _DAY) -> Identity:
        """A client certificate of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _signed(_builder(_name(common_name), self.certificate.subject, key, until), key, self.key)

    def strangers(self, name: str) -> dict[str, Identity | None]:
        """Whoever must not get through a handshake, though what they show says `name`."""
        own_key = ec.generate_private_key(ec.SECP256R1())
        return {
            "self-signed": _signed(_builder(_name(name), _name(name), own_key, _NOW + _DAY), own_key, own_key),
            "expired": self.leaf(name, until=_NOW - timedelta(hours=1)),
            "of another authority of the same name": self.impostor().leaf(name),
        }


def component(name: str) -> str:
    """The common name of a component of the suite."""
    return f"{COMMON_NAME_PREFIX}{name}"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - 2 * _DAY)
        .not_valid_after(until)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> Identity:
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(builder.sign(signer, hashes.SHA256()).public_bytes(_PEM), private)

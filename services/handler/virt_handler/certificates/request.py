"""Creates keys and certificate requests, and decides when a leaf must be renewed. Pure; touches no files.

A separate program, started by apart.py, so that its imports do not stay in the handler's memory.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from virt_core.conventions import components
from virt_core.conventions.issuing import CLOCK_SKEW, Issuing, read_issuing
from virt_core.conventions.labels import COMMON_NAME_PREFIX

from virt_handler.certificates.question import Answer, Wanted


def new_request(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A new key and the request for its certificate, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{COMMON_NAME_PREFIX}{components.HANDLER}")])
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(alternative, critical=False)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def renewal(leaf: bytes, key: bytes, bundle: bytes, issuing: Issuing) -> datetime | None:
    """When to renew the leaf; None means now: it cannot be read, or an older CA than the current one signed it."""
    try:
        certificate = x509.load_pem_x509_certificate(leaf)
        private = serialization.load_pem_private_key(key, password=None)
        authorities = x509.load_pem_x509_certificates(bundle)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if private.public_key() != certificate.public_key():
        return None
    issuer = next((at for at, authority in enumerate(authorities) if _issued(certificate, authority)), None)
    if issuer is None:
        return None
    # Newest first. If a newer CA than the current one of these files signed it, it took over after they were written.
    prints = [_fingerprint(authority) for authority in authorities]
    if issuing.signer in prints and issuer > prints.index(issuing.signer):
        return None
    return issuing.renewal(certificate.not_valid_before_utc + CLOCK_SKEW, certificate.not_valid_after_utc)


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def main() -> None:
    """Read a task from standard input and write the answer to standard output."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    if wanted.names:
        answer = Answer(*new_request(wanted.names))
    else:
        answer = Answer(due=renewal(wanted.leaf, wanted.key, wanted.bundle, read_issuing(wanted.issuing)))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()

"""The certificate request that waits for an answer, in the folder of the certificate. Called by renewal.py.

A container that restarts waits for the same CertificateSigningRequest: without this, each restart while the operator
is away would leave another one behind. The folder is in memory and goes with the pod, like the key of the certificate.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

_FILE = "pending.json"


class Pending(msgspec.Struct, frozen=True):
    """A key and the request for its certificate, both PEM."""

    key: bytes
    request: bytes

    def name(self, instance: str) -> str:
        """The name of the CertificateSigningRequest of the pod `instance`: one request has one name."""
        return f"{instance}-{hashlib.sha256(self.request).hexdigest()[:16]}"


def read(folder: Path) -> Pending | None:
    """The request that was made before, None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Pending)
    except (OSError, msgspec.MsgspecError):
        return None


def write(folder: Path, pending: Pending) -> None:
    """Keep it, whole or not at all."""
    temporary = folder / f"{_FILE}.tmp"
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(pending))
    temporary.replace(folder / _FILE)


def forget(folder: Path) -> None:
    """It was answered."""
    (folder / _FILE).unlink(missing_ok=True)

"""The pending certificate request, stored in the folder of the certificate. Called by renewal.py.

A restarted container waits for the same CertificateSigningRequest. Otherwise each restart during an outage of the
operator would leave another request behind. The folder is in memory and ends with the pod, like the certificate's key.
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
        """The name of the CertificateSigningRequest. It depends on the pod `instance` and the request only."""
        return f"{instance}-{hashlib.sha256(self.request).hexdigest()[:16]}"


def read(folder: Path) -> Pending | None:
    """The stored request; None if there is none or it cannot be decoded."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Pending)
    except (OSError, msgspec.MsgspecError):
        return None


def write(folder: Path, pending: Pending) -> None:
    """Store the request atomically."""
    temporary = folder / f"{_FILE}.tmp"
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(pending))
    temporary.replace(folder / _FILE)


def forget(folder: Path) -> None:
    """Delete the stored request after it was answered."""
    (folder / _FILE).unlink(missing_ok=True)

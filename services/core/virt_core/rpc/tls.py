"""mTLS from files that are replaced under the running process: the kubelet writes a Secret's new content in place.

Servers load what the files hold at each handshake, if it changed; clients make a new channel when `fingerprint`
changes (Python channels cannot reload). Called by the services' app.py. Layout: tls.crt, tls.key and ca.crt in one
folder, as Kubernetes' TLS Secrets have it; ca.crt is the bundle of every authority trusted now.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Certificates:
    """A folder with tls.crt, tls.key and ca.crt."""

    folder: Path

    def trust_bundle_sha256(self) -> str:
        """SHA-256 of the bundle in lower-case hexadecimal, as GetInfo reports it."""
        return hashlib.sha256((self.folder / "ca.crt").read_bytes()).hexdigest()

    def fingerprint(self) -> str:
        """Changes whenever key, leaf or bundle change."""
        return hashlib.sha256(b"\0".join(self._read())).hexdigest()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials that require a client certificate of our own authority and follow the files."""
        loaded = self.fingerprint()

        def reload() -> grpc.ServerCertificateConfiguration | None:
            nonlocal loaded
            try:
                current = self.fingerprint()
                if current == loaded:
                    return None
                configuration = self._configuration()
            except OSError:  # the files are being replaced: the next handshake sees them
                return None
            loaded = current
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            reload,  # type: ignore[arg-type]  # None means unchanged, which the stubs do not say
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of what the files hold now."""
        key, leaf, bundle = self._read()
        return grpc.ssl_channel_credentials(bundle, key, leaf)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, leaf, bundle = self._read()
        return grpc.ssl_server_certificate_configuration([(key, leaf)], bundle)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        return tuple((self.folder / name).read_bytes() for name in ("tls.key", "tls.crt", "ca.crt"))  # type: ignore[return-value]

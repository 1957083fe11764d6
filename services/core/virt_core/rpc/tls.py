"""mTLS from files that are replaced under the running process: the kubelet writes a Secret's new content in place.

Servers load what the files hold at each handshake, if it changed; clients make a new channel when `fingerprint`
changes (Python channels cannot reload). Called by the services' app.py. Layout: tls.crt, tls.key and ca.crt in one
folder, as Kubernetes' TLS Secrets have it; ca.crt is the bundle of every authority trusted now. Operator and handler,
whose keys are in no Secret, write theirs with `write_files`, in the kubelet's own way.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

NAMES = ("tls.key", "tls.crt", "ca.crt")
_NOW = "..data"  # the kubelet's link to the folder that counts; replaced as one, so that the files belong together


def read_files(folder: Path, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    """The files by name, all of one moment.

    Raises:
        OSError: one is not there, or they are being replaced.
    """
    now = folder / _NOW
    at = folder / now.readlink() if now.is_symlink() else folder
    return {name: (at / name).read_bytes() for name in names}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace what `folder` holds, so that no reader sees a part of it. One writer at a time."""
    before = list(folder.glob("..at_*"))
    fresh = Path(tempfile.mkdtemp(prefix="..at_", dir=folder))
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(folder / _NOW)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_NOW}/{name}")
    for old in before:
        shutil.rmtree(old)


@dataclass(frozen=True, slots=True)
class Certificates:
    """A folder with tls.crt, tls.key and ca.crt."""

    folder: Path
    trust: Path | None = None
    """The folder with ca.crt, if that is another one."""

    def trust_bundle_sha256(self) -> str:
        """SHA-256 of the bundle in lower-case hexadecimal, as GetInfo reports it."""
        return hashlib.sha256(((self.trust or self.folder) / "ca.crt").read_bytes()).hexdigest()

    def fingerprint(self) -> str:
        """Changes whenever key, leaf or bundle change."""
        return hashlib.sha256(b"\0".join(self._read())).hexdigest()

    def server_credentials(self, also_trusted: Callable[[], bytes] = bytes) -> grpc.ServerCredentials:
        """Credentials that require a client certificate of our own authority and follow the files.

        `also_trusted` tells further authorities (PEM) whose certificates a client may show.
        """
        loaded = self.fingerprint(), also_trusted()

        def reload() -> grpc.ServerCertificateConfiguration | None:
            nonlocal loaded
            try:
                current = self.fingerprint(), also_trusted()
                if current == loaded:
                    return None
                configuration = self._configuration(current[1])
            except OSError:  # the files are being replaced: the next handshake sees them
                return None
            loaded = current
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(loaded[1]),
            reload,  # type: ignore[arg-type]  # None means unchanged, which the stubs do not say
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of what the files hold now."""
        key, leaf, bundle = self._read()
        return grpc.ssl_channel_credentials(bundle, key, leaf)

    def _configuration(self, also_trusted: bytes) -> grpc.ServerCertificateConfiguration:
        key, leaf, bundle = self._read()
        return grpc.ssl_server_certificate_configuration([(key, leaf)], bundle + also_trusted)

    def _read(self) -> tuple[bytes, ...]:
        if self.trust is None:
            return tuple(read_files(self.folder).values())
        own, trusted = read_files(self.folder, NAMES[:2]), read_files(self.trust, NAMES[2:])
        return (*own.values(), *trusted.values())

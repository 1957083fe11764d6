"""mTLS from files that change while the process runs: the kubelet updates a mounted Secret in place.

Servers reload changed files at each handshake; clients create a new channel when `fingerprint` changes (Python channels
cannot reload). Called by the services' app.py. Layout: tls.crt, tls.key and ca.crt in one folder, as in Kubernetes' TLS
Secrets; ca.crt is the bundle of all CAs that are trusted now. The keys of operator and handler are in no Secret; they
write their files with `write_files`, in the same way as the kubelet.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from virt_core.conventions.certificate_files import BUNDLE, KEY, LEAF

NAMES = (KEY, LEAF, BUNDLE)
_NOW = "..data"  # the kubelet's link to the current folder; replaced atomically, so that the files match


def read_files(folder: Path, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    """The files by name, all of the same version.

    Raises:
        OSError: a file is missing, or the files are being replaced.
    """
    now = folder / _NOW
    at = folder / now.readlink() if now.is_symlink() else folder
    return {name: (at / name).read_bytes() for name in names}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the files in `folder` atomically for readers. One writer at a time."""
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
    """The folder with ca.crt, if it is not `folder`."""

    def trust_bundle_sha256(self) -> str:
        """SHA-256 of the bundle in lower-case hexadecimal, as GetInfo reports it."""
        return hashlib.sha256(self.bundle()).hexdigest()

    def bundle(self) -> bytes:
        """The authorities that are trusted, as PEM."""
        return ((self.trust or self.folder) / BUNDLE).read_bytes()

    def fingerprint(self) -> str:
        """A value that changes with key, leaf or bundle."""
        return hashlib.sha256(b"\0".join(self._read())).hexdigest()

    def server_credentials(self, also_trusted: Callable[[], bytes] = bytes) -> grpc.ServerCredentials:
        """Credentials that require a client certificate of the suite's CA and follow the files.

        `also_trusted` returns further CAs (PEM) that may sign a client's certificate.
        """
        loaded = self.fingerprint(), also_trusted()

        def reload() -> grpc.ServerCertificateConfiguration | None:
            nonlocal loaded
            try:
                current = self.fingerprint(), also_trusted()
                if current == loaded:
                    return None
                configuration = self._configuration(current[1])
            except OSError:  # the files are being replaced: the next handshake reads them
                return None
            loaded = current
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(loaded[1]),
            reload,  # type: ignore[arg-type]  # None means unchanged, which the stubs do not say
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials from the current files."""
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

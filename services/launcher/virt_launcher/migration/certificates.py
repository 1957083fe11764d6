"""The certificates of one migration, in the places where libvirt and QEMU look for them. Called by the engine.

Each of both launchers makes an authority of its own, signs one certificate for its pod's address, and throws the
authority's key away. It trusts its own and the peer's authority, so that nobody else can take part. The work is done by
openssl: this process lives as long as the guest and loads no library for it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virt_core import logs

_log = logs.bound("virt_launcher.migration")

# Seconds. Clocks of nodes differ; a migration that takes longer needs no new connection until its end.
_SKEW, _LIFETIME = 3600, 24 * 3600
_TIMEOUT = 20.0  # seconds, for one openssl on a busy node
# Names of libvirt (docs/kbase/tlscerts.rst) and of QEMU (docs/system/tls.rst), for both directions of a connection.
_KEYS = ("serverkey.pem", "clientkey.pem", "server-key.pem", "client-key.pem")
_LEAVES = ("servercert.pem", "clientcert.pem", "server-cert.pem", "client-cert.pem")
_TRUST = ("cacert.pem", "ca-cert.pem")
_GROUP = "dh-params.pem"
"""A group for Diffie-Hellman, RFC 7919. A QEMU that finds none makes one for half a second, before each arrival."""

_OWN_AUTHORITY, _OWNER, _WORK = "own-authority.pem", "migration", "work"


class CertificatesFailed(Exception):
    """openssl failed: another attempt may succeed."""


class Certificates:
    """The files below $HOME/.pki/libvirt, of at most one migration."""

    def __init__(self, folder: Path, openssl: str = "/usr/bin/openssl") -> None:
        self._folder = folder
        self._openssl = openssl
        self._making = asyncio.Lock()

    async def identity(self, migration_uid: str, address: str) -> str:
        """The own authority for this migration, as PEM. The certificate is for `address`.

        Raises:
            CertificatesFailed: openssl failed.
            ValueError: `address` is no IP address.
        """
        owner = f"{migration_uid} {_canonical(address)}"
        async with self._making:
            if _read(self._folder / _OWNER) != owner:
                _log.info("making certificates", migration=migration_uid, address=address)
                self.forget()
                await self._make(address)
                _write(self._folder / _OWNER, owner)
            return _read(self._folder / _OWN_AUTHORITY)

    def trust(self, authority: str) -> None:
        """Trust the peer's authority, a PEM, beside the own one. Requires identity()."""
        for name in _TRUST:
            _write(self._folder / name, f"{_read(self._folder / _OWN_AUTHORITY).strip()}\n{authority.strip()}\n")

    def forget(self) -> None:
        """Remove everything. The folder stays, because libvirtd does not start without it."""
        if not self._folder.exists():
            return
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    async def _make(self, address: str) -> None:
        work = self._folder / _WORK
        work.mkdir(parents=True, mode=0o700)
        config = work / "config"
        config.write_text(_config(work, address))
        (work / "index").touch()
        now = time.time()
        dates = ("-startdate", _date(now - _SKEW), "-enddate", _date(now + _LIFETIME))
        sign = ("ca", "-batch", "-notext", "-config", str(config), *dates)
        authority, leaf = work / "authority", work / "leaf"
        with _memory_file() as key:
            signing = (*sign, "-keyfile", f"/proc/self/fd/{key}")
            name = f"/CN=migration {os.urandom(8).hex()}"
            await self._request(config, name, signing[-1], authority, key)
            await self._run(*signing, "-selfsign", *_files(authority), keep=key)
            await self._request(config, "/CN=launcher", str(work / "leaf.key"), leaf)
            await self._run(*signing, "-cert", f"{authority}.pem", *_files(leaf), keep=key)
        await self._run(
            "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", f"{work}/group"
        )
        for names, made in (
            (_KEYS, "leaf.key"),
            (_LEAVES, "leaf.pem"),
            ((_OWN_AUTHORITY,), "authority.pem"),
            ((_GROUP,), "group"),
        ):
            for name in names:
                _write(self._folder / name, (work / made).read_text())
        shutil.rmtree(work)

    async def _request(self, config: Path, subject: str, key: str, made: Path, keep: int | None = None) -> None:
        """Make a key of P-256 and a signing request for it."""
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        argv = ("req", "-new", *kind, "-config", str(config), "-subj", subject, "-keyout", key, "-out", f"{made}.csr")
        await self._run(*argv, keep=keep)

    async def _run(self, *argv: str, keep: int | None = None) -> None:
        process = await asyncio.create_subprocess_exec(
            self._openssl,
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=() if keep is None else (keep,),
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                _, complaint = await process.communicate()
        except TimeoutError:
            raise CertificatesFailed(f"openssl {argv[0]} did not end within {_TIMEOUT:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = " ".join(complaint.decode(errors="replace").split())
            raise CertificatesFailed(f"openssl {argv[0]} ended with status {process.returncode}: {words}")


def _files(made: Path) -> tuple[str, ...]:
    """Request, extensions and certificate, which have the same name."""
    return "-in", f"{made}.csr", "-out", f"{made}.pem", "-extensions", made.name


def _config(work: Path, address: str) -> str:
    """openssl's configuration: openssl-ca(1), x509v3_config(5)."""
    return f"""
[req]
distinguished_name = subject
[subject]
[ca]
default_ca = own
[own]
database = {work}/index
new_certs_dir = {work}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
[names]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:{_canonical(address)}
"""


def _canonical(address: str) -> str:
    """The IP address as openssl reads it, and nothing else in its configuration."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address))
    except OSError:
        raise ValueError(f"address: {address!r} is no IP address") from None


def _date(seconds: float) -> str:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


@contextmanager
def _memory_file() -> Iterator[int]:
    """A descriptor of a file that is on no disk and ends with this context."""
    descriptor = os.memfd_create("authority", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Readable by this user only, from the first moment on."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)

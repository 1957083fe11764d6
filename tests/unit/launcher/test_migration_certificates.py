"""Certificates of one migration: whom they name, who accepts them, and that nothing of them stays."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from virt_launcher.migration.certificates import Certificates, CertificatesFailed

# What libvirt and QEMU open, for either direction of a connection.
LIBVIRT = {"cacert.pem", "servercert.pem", "serverkey.pem", "clientcert.pem", "clientkey.pem"}
QEMU = {"dh-params.pem", "ca-cert.pem", "server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".pki/libvirt"


def accepts(side: Path, certificate: Path) -> bool:
    """Whether a side trusts a certificate of a server or client."""
    argv = ["openssl", "verify", "-x509_strict", "-no-CApath", "-CAfile", str(side / "cacert.pem"), str(certificate)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


async def test_two_launchers_accept_each_other_and_nobody_else(tmp_path: Path) -> None:
    sides = {name: Certificates(tmp_path / name) for name in ("source", "target", "stranger")}
    authorities = {name: await side.identity("uid", "10.0.0.7") for name, side in sides.items()}
    sides["source"].trust(authorities["target"])
    sides["target"].trust(authorities["source"])
    sides["stranger"].trust(authorities["target"])
    for side, peer, accepted in (
        ("source", "target", True),
        ("target", "source", True),
        ("target", "target", True),  # libvirt checks its own
        ("target", "stranger", False),
    ):
        assert accepts(tmp_path / side, tmp_path / peer / "servercert.pem") is accepted, (side, peer)


@pytest.mark.parametrize("address", ["10.244.1.9", "fd10:244::1:9"])
async def test_certificate_names_the_address_for_one_day_with_a_margin_for_clocks(folder: Path, address: str) -> None:
    certificates = Certificates(folder)
    certificates.trust(await certificates.identity("uid", address))
    assert {path.name for path in folder.iterdir()} >= LIBVIRT | QEMU
    leaf = x509.load_pem_x509_certificate((folder / "clientcert.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(address)]
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    hour, now = datetime.timedelta(hours=1), datetime.datetime.now(datetime.UTC)
    authority = x509.load_pem_x509_certificate((folder / "own-authority.pem").read_bytes())
    for made in (leaf, authority):
        assert now - 2 * hour < made.not_valid_before_utc <= now - hour + datetime.timedelta(minutes=5)
        assert now + 23 * hour < made.not_valid_after_utc <= now + 24 * hour


async def test_keys_are_for_this_user_only_and_that_of_the_authority_is_nowhere(folder: Path) -> None:
    await Certificates(folder).identity("uid", "10.0.0.7")
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    authority = x509.load_pem_x509_certificate((folder / "own-authority.pem").read_bytes()).public_key()
    keys = [path.read_bytes() for path in folder.rglob("*") if b"PRIVATE KEY" in path.read_bytes()]
    assert len(set(keys)) == 1
    assert load_pem_private_key(keys[0], None).public_key() != authority


async def test_same_migration_keeps_its_certificates_and_another_gets_new_ones(folder: Path) -> None:
    first = await Certificates(folder).identity("uid", "10.0.0.7")
    assert await Certificates(folder).identity("uid", "10.0.0.7") == first, "after a restart of the launcher"
    Certificates(folder).trust(first)
    second = await Certificates(folder).identity("other", "10.0.0.7")
    assert second != first
    assert not (folder / "cacert.pem").exists(), "the trust of the earlier migration"


async def test_forgotten_certificates_leave_an_empty_folder(folder: Path) -> None:
    certificates = Certificates(folder)
    certificates.forget()
    certificates.trust(await certificates.identity("uid", "10.0.0.7"))
    (folder / "work").mkdir()  # of a launcher that died while it made some
    certificates.forget()
    assert folder.is_dir()
    assert not list(folder.iterdir())


async def test_attempt_that_fails_says_why_and_is_repeated(folder: Path, tmp_path: Path) -> None:
    failing = tmp_path / "openssl"
    failing.write_text("#!/bin/sh\necho no entropy >&2\nexit 1\n")
    failing.chmod(0o755)
    with pytest.raises(CertificatesFailed, match=r"^openssl req ended with status 1: no entropy$"):
        await Certificates(folder, str(failing)).identity("uid", "10.0.0.7")
    assert "BEGIN CERTIFICATE" in await Certificates(folder).identity("uid", "10.0.0.7")


@pytest.mark.parametrize("address", ["", "host", "10.0.0.7\n[leaf]", "10.0.0.7/24"])
async def test_address_that_is_none_is_refused(folder: Path, address: str) -> None:
    with pytest.raises(ValueError, match="is no IP address"):
        await Certificates(folder).identity("uid", address)
    assert not folder.exists()

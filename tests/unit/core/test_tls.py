"""mTLS from files that change while the process runs."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubevirt.info.v1 import info_pb2, info_pb2_grpc
from virt_core.rpc.identity import Identity
from virt_core.rpc.server import create_server
from virt_core.rpc.tls import NAMES, Certificates, read_files, write_files

from tests.support.patience import PATIENCE


class Authority:
    """Signs leaves for "localhost"."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self._certificate = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(True, None))

    def write_leaf(self, folder: Path, common_name: str) -> Certificates:
        """A new leaf in the folder, as the kubelet replaces it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        leaf = self._sign(name, key.public_key(), x509.SubjectAlternativeName([x509.DNSName("localhost")]))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        folder.mkdir(exist_ok=True)
        (folder / "tls.key").write_bytes(private)
        (folder / "tls.crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (folder / "ca.crt").write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return Certificates(folder)

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        # Python 3.13 refuses an authority without a key usage, and certificates without identifiers.
        if isinstance(extension, x509.BasicConstraints):
            unused = {"content_commitment", "key_encipherment", "data_encipherment", "key_agreement"}
            flags = dict.fromkeys(unused | {"encipher_only", "decipher_only"}, False)
            usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **flags)
            builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        day = datetime.timedelta(days=1)
        return builder.not_valid_before(now - day).not_valid_after(now + day).sign(self._key, hashes.SHA256())


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def port(authority: Authority, tmp_path: Path) -> AsyncIterator[int]:
    """A server with the certificates of tmp_path/server."""
    certificates = authority.write_leaf(tmp_path / "server", "first")
    server = create_server(Identity.for_process(info_pb2.COMPONENT_HANDLER, ()), certificates.trust_bundle_sha256)
    port = server.add_secure_port("localhost:0", certificates.server_credentials())
    await server.start()
    yield port
    await server.stop(None)


async def ask(port: int, credentials: grpc.ChannelCredentials) -> info_pb2.GetInfoResponse:
    # Channels of one process share connections; a pool of its own makes each ask a handshake.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
        response: info_pb2.GetInfoResponse = await info_pb2_grpc.InfoServiceStub(channel).GetInfo(
            info_pb2.GetInfoRequest(), timeout=PATIENCE
        )
        return response


async def shown(port: int, client: Certificates) -> str:
    """The common name that the server shows in a new handshake."""
    context = ssl.create_default_context(cafile=str(client.folder / "ca.crt"))
    context.load_cert_chain(client.folder / "tls.crt", client.folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    pem = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    name = x509.load_der_x509_certificate(pem).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    return str(name)


async def test_a_replaced_leaf_is_shown_without_a_restart(port: int, authority: Authority, tmp_path: Path) -> None:
    client = authority.write_leaf(tmp_path / "client", "client")
    assert await shown(port, client) == "first"
    authority.write_leaf(tmp_path / "server", "second")
    assert await shown(port, client) == "second"


async def test_a_replaced_bundle_is_trusted_and_reported(port: int, tmp_path: Path) -> None:
    successor = Authority()
    server = successor.write_leaf(tmp_path / "server", "second")
    client = successor.write_leaf(tmp_path / "client", "client")
    answer = await ask(port, client.channel_credentials())
    assert answer.trust_bundle_sha256 == server.trust_bundle_sha256() == client.trust_bundle_sha256()


async def test_files_missing_for_a_moment_leave_the_server_as_it_was(
    port: int, authority: Authority, tmp_path: Path
) -> None:
    client = authority.write_leaf(tmp_path / "client", "client")
    (tmp_path / "server" / "tls.crt").unlink()
    assert await shown(port, client) == "first"


async def test_a_client_without_certificate_or_of_another_authority_is_refused(
    port: int, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.write_leaf(tmp_path / "client", "client")
    assert (await ask(port, mine.channel_credentials())).component == info_pb2.COMPONENT_HANDLER
    trusted = (tmp_path / "client" / "ca.crt").read_bytes()
    foreign = Authority().write_leaf(tmp_path / "foreign", "client")
    (foreign.folder / "ca.crt").write_bytes(trusted)
    for credentials in (grpc.ssl_channel_credentials(trusted), foreign.channel_credentials()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(port, credentials)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_fingerprint_changes_with_each_file(authority: Authority, tmp_path: Path) -> None:
    certificates = authority.write_leaf(tmp_path / "client", "client")
    seen = {certificates.fingerprint()}
    for name in ("tls.key", "tls.crt", "ca.crt"):
        with (certificates.folder / name).open("ab") as file:
            file.write(b"\n")
        seen.add(certificates.fingerprint())
    assert len(seen) == 4


def test_files_are_replaced_as_one(tmp_path: Path) -> None:
    files = [{name: f"{name} {number}".encode() for name in NAMES} for number in range(3)]
    for path in files:
        write_files(tmp_path, path)
        assert read_files(tmp_path) == path == {name: (tmp_path / name).read_bytes() for name in NAMES}
    link = tmp_path / "..data"
    link.unlink()  # a writer that died in between leaves its folder behind
    assert len(list(tmp_path.glob("..at_*"))) == 1
    write_files(tmp_path, files[0])
    assert read_files(tmp_path) == files[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()) == [
        link.readlink().name
    ]

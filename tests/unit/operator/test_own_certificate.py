"""The authority that exists before any KubeVirt object, and the leaf of each replica of the operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import SECRETS
from virt_core.rpc.tls import Certificates, read_files
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority
from virt_operator.certificates.own import OwnCertificate
from virt_operator.certificates.secret import AUTHORITY_SECRET, data_of, key_pair_of

from tests.support.patience import PATIENCE

NAMESPACE = "kubevirt"


@asynccontextmanager
async def replica(client: KubeClient, folder: Path) -> AsyncIterator[AuthorityWatch]:
    """One replica of the operator with its leaf in `folder`."""
    folder.mkdir(exist_ok=True)
    authority = AuthorityWatch(client, NAMESPACE)
    own = OwnCertificate(authority, NAMESPACE, folder)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        tasks = [group.create_task(authority.run(), name="authority"), group.create_task(own.run(), name="own")]
        await own.ready.wait()
        yield authority
        for task in tasks:
            task.cancel()


async def until(authority: AuthorityWatch, holds: Callable[[], bool]) -> None:
    """Wait for a condition that follows from a change of the Secret."""
    while not holds():
        changed = asyncio.Event()
        authority.subscribe(changed.set)
        async with asyncio.timeout(PATIENCE):
            await changed.wait()
        await asyncio.sleep(0)  # the leaf's own task is woken by the same change


def leaf(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(read_files(folder)["tls.crt"])


async def test_two_replicas_that_begin_at_once_share_one_authority(client: KubeClient, tmp_path: Path) -> None:
    async with replica(client, tmp_path / "a") as first, replica(client, tmp_path / "b"):
        assert first.current is not None
        stored = key_pair_of((await client.get(SECRETS, NAMESPACE, AUTHORITY_SECRET))["data"])
        assert read_files(tmp_path / "a")["ca.crt"] == read_files(tmp_path / "b")["ca.crt"] == stored.bundle
        signer = x509.load_pem_x509_certificate(stored.certificate)
        for folder in (tmp_path / "a", tmp_path / "b"):
            leaf(folder).verify_directly_issued_by(signer)
            names = leaf(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == ["virt-operator.kubevirt.svc"]
        assert leaf(tmp_path / "a").serial_number != leaf(tmp_path / "b").serial_number


async def test_an_authority_that_is_there_is_used(client: KubeClient, server: FakeApiServer, tmp_path: Path) -> None:
    pair = new_authority(datetime.now(UTC))
    body = {"metadata": {"name": AUTHORITY_SECRET, "namespace": NAMESPACE}, "data": data_of(pair)}
    await client.create(SECRETS, NAMESPACE, body)
    async with replica(client, tmp_path / "a"):
        leaf(tmp_path / "a").verify_directly_issued_by(x509.load_pem_x509_certificate(pair.certificate))


async def test_a_deleted_authority_goes_on_until_everyone_trusts_its_successor(
    client: KubeClient, tmp_path: Path
) -> None:
    async with replica(client, tmp_path / "a") as authority:
        before = authority.able
        assert before is not None
        await client.delete(SECRETS, NAMESPACE, AUTHORITY_SECRET)
        await until(authority, lambda: authority.current is not None and authority.able != before)
        after = authority.able
        assert after is not None
        assert after.signer.key == before.signer.key
        assert after.successor is not None
        assert after.bundle == after.successor.certificate + before.bundle


async def test_a_container_that_starts_again_serves_its_leaf_without_an_api_server(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    async with replica(client, tmp_path / "a"):
        before = Certificates(tmp_path / "a").fingerprint()
    await server.down()
    async with replica(client, tmp_path / "a"):
        assert Certificates(tmp_path / "a").fingerprint() == before


async def test_the_leaf_is_renewed_at_half_life(client: KubeClient, tmp_path: Path) -> None:
    clock = datetime.now(UTC)
    authority = AuthorityWatch(client, NAMESPACE)
    own = OwnCertificate(authority, NAMESPACE, tmp_path, now=lambda: clock)
    pair = new_authority(clock)
    body = {"metadata": {"name": AUTHORITY_SECRET, "namespace": NAMESPACE}, "data": data_of(pair)}
    authority.wrote(await client.create(SECRETS, NAMESPACE, body))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(own.run(), name="own")
        await own.ready.wait()
        first = leaf(tmp_path).serial_number
        own.ready.clear()
        clock += timedelta(hours=13)
        authority.wrote(await client.get(SECRETS, NAMESPACE, AUTHORITY_SECRET))
        await own.ready.wait()
        assert leaf(tmp_path).serial_number != first
        running.cancel()

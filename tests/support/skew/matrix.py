"""Every release's clients at every release's servers. Called by the test; `python -m tests.support.skew.matrix` writes
docs/skew.md again."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from localcluster.releases import recorded, tree
from localcluster.settings import PROJECT_ROOT
from virt_core.kube.resource import CONFIG_MAPS, SECRETS
from virt_core.testing.api_server import FakeApiServer
from virt_operator.certificates.issue import new_authority
from virt_operator.certificates.rollover import Authority, authority_data

from tests.next_release.tree import make_tree
from tests.samples.virt_api import front_proxy_rules
from tests.support.skew.suite import NAMESPACE, Release, Suite, call
from tests.support.skew.table import Matrix, page

DOCUMENT = PROJECT_ROOT / "docs" / "skew.md"
THIS, NEXT = "this tree", "next"
_AT_A_TIME = 3


def releases(folder: Path) -> list[Release]:
    """The last two recorded ones, this tree, and the next release, which is made in `folder`."""
    older = [Release(release.version, tree.ensure(release)) for release in recorded.releases()[-2:]]
    make_tree(folder / NEXT)
    return [*older, Release(THIS, PROJECT_ROOT), Release(NEXT, folder / NEXT)]


async def matrix(several: Sequence[Release], folder: Path) -> Matrix:
    """The outcomes by caller and server. What the processes share is in `folder`."""
    some = asyncio.Semaphore(_AT_A_TIME)
    async with AsyncExitStack() as stack:
        suites = [await started(release, folder / f"suite{number}", stack) for number, release in enumerate(several)]

        async def one(caller: Release, suite: Suite) -> dict[str, dict[str, list[str]]]:
            async with some:
                try:
                    return await call(caller, await suite.servers())
                except AssertionError as error:
                    raise AssertionError(f"{error} at {suite.release.name}: {suite.ended()}") from None

        async with asyncio.TaskGroup() as group:
            found = {
                (caller.name, suite.release.name): group.create_task(one(caller, suite), name=caller.name)
                for caller, suite in product(several, suites)
            }
    return {pair: task.result() for pair, task in found.items()}


async def started(release: Release, folder: Path, stack: AsyncExitStack) -> Suite:
    """The servers of a release, with an API server and an authority of their own."""
    server, authority = await stack.enter_async_context(FakeApiServer.running()), new_authority(datetime.now(UTC))
    data = {key: value for key, value in authority_data(Authority(authority)).items() if value is not None}
    metadata = {"name": "kubevirt-ca", "labels": {"kubevirt.io": "virt-operator"}}
    server.put(SECRETS.path(NAMESPACE), {"metadata": metadata, "type": "kubernetes.io/tls", "data": data})
    server.put(CONFIG_MAPS.path("kube-system"), front_proxy_rules(authority.bundle.decode()))
    server.reviews.allows = lambda spec: True
    folder.mkdir()
    suite = Suite(release, folder, authority, server.write_kubeconfig(folder / "kubeconfig"), stack)
    await suite.start()
    return suite


def main() -> None:
    """Write the document."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short: unix sockets
        DOCUMENT.write_text(page(asyncio.run(matrix(releases(Path(folder)), Path(folder)))))


if __name__ == "__main__":
    main()

"""The cluster with the suite installed: `make test-e2e` installs it once before pytest starts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import NAMESPACE, nodes, wait
from tests.e2e.guests import Guest, manifest, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The audit of what all the others made the suite do comes after them, then removal and new installation, then the
    tests that crash the cluster: an API server that has just started forbids what it has not read the roles of."""
    last = ("test_rbac_audit.py", "test_removal.py", "test_local_cluster.py")
    items.sort(key=lambda item: last.index(item.path.name) + 1 if item.path.name in last else 0)


@pytest.fixture(scope="session", autouse=True)
def suite() -> None:
    """The suite is Available."""
    assert os.environ.get("KUBECONFIG"), "run end-to-end tests by `make test-e2e`"
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)


@pytest.fixture(scope="module")
def guests(suite: None, request: pytest.FixtureRequest) -> Iterator[list[Guest]]:
    """A guest on each of two nodes, named after the module: another may run beside it."""
    first, second = nodes()
    name = request.path.stem.removeprefix("test_")
    with running(manifest(f"{name}1", node=first), manifest(f"{name}2", node=second)) as pair:
        yield pair

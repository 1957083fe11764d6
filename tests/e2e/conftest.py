"""The cluster with the suite installed: `make test-e2e` installs it once before pytest starts."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from tests.e2e.builds import RECORDED, TODAY, by_manifest, pull, reached, runs, set_image_tag
from tests.e2e.cluster import NAMESPACE, nodes, wait
from tests.e2e.guests import Guest, manifest, running
from tests.e2e.travelling import set_workload_updates

LONGEST = (
    "test_machine_lifecycle",
    "test_claims",
    "test_migration_requests",
    "test_migration_of_disks",
    "test_gitops",
    "test_vm_run_strategies",
    "test_vm_idle",
    "test_vm_changes_while_running",
    "test_disks",
    "test_conditions",
    "test_replica_sets",
    "test_virtual_machines",
    "test_virtctl_on_machines",
    "test_refused_pods",
    "test_guest_pod",
    "test_network",
    "test_python_client",
    "test_kubectl",
)
"""Modules of parallel tests that take longest. They begin first, so that no worker has one left at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `last` come after all others, by the number of the marker."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[float, int]:
    last, module = item.get_closest_marker("last"), item.path.stem
    is_long = item.get_closest_marker("parallel") and module in LONGEST
    return last.args[0] if last else 0, LONGEST.index(module) if is_long else len(LONGEST)


@pytest.fixture(scope="session", autouse=True)
def suite() -> Iterator[None]:
    """The suite is Available."""
    assert os.environ.get("KUBECONFIG"), "run end-to-end tests by `make test-e2e`"
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
    yield
    gc.collect()  # what aiohttp left; after the last test its warning would be pytest's failure


@pytest.fixture(scope="module")
def guests(suite: None, request: pytest.FixtureRequest) -> Iterator[list[Guest]]:
    """A guest on each of two nodes, named after the module: another may run beside it."""
    first, second = nodes()
    name = request.path.stem.removeprefix("test_")
    with running(manifest(f"{name}1", node=first), manifest(f"{name}2", node=second)) as pair:
        yield pair


@pytest.fixture
def back_to_today() -> Iterator[None]:
    """This tree's build afterwards, whatever happened."""
    yield
    set_image_tag(None)
    by_manifest(TODAY)
    reached(TODAY)


@pytest.fixture(scope="module")
def images_of_both_releases() -> None:
    """All nodes have the images of the recorded release and of this tree."""
    if not (RECORDED.folder / "tag").exists():
        pytest.skip(f"{RECORDED.name} is not built: git has no commit of it here, or run make recorded-images")
    for build in (RECORDED, TODAY):
        pull(build)


@pytest.fixture
def recorded_release() -> Iterator[None]:
    """The recorded release is installed, and no launcher is replaced."""
    set_image_tag(None)
    if not runs(RECORDED):
        by_manifest(RECORDED)
        reached(RECORDED)
    yield
    set_workload_updates([])

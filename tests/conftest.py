"""Each folder's tests carry its marker, so that ``-m unit`` and the folder mean the same; a fake API server.

pytest executes asserts under `python -OO` only where it rewrites them. The checks outside of tests are rewritten too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A test that waits for one of two processors is not at fault.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_CHECKS = ("samples", "support", "unit", "contract", "integration", "e2e")
pytest.register_assert_rewrite("virt_core.testing", *(f"tests.{folder}" for folder in _CHECKS))

from virt_core.kube.client import KubeClient  # noqa: E402
from virt_core.testing.api_server import FakeApiServer  # noqa: E402

_ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by top folder."""
    for item in items:
        folder = item.path.relative_to(_ROOT).parts[0]
        if folder in ("unit", "contract", "integration", "e2e"):
            item.add_marker(folder)
        if folder == "e2e":
            # aiohttp leaves the TLS transport of a refused websocket to the loop, which a test's end closes too early.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs in Go end with an error if SSL_CERT_DIR is no folder."""
    return tmp_path_factory.mktemp("no-authorities")


@pytest.fixture(scope="module", autouse=True)
def no_public_authorities(request: pytest.FixtureRequest, empty_folder: Path) -> Iterator[None]:
    """Unit and contract tests trust only what they make. A client that reads this machine's 140 authorities takes 20 ms
    of a processor, and a thousand clients are made."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.relative_to(_ROOT).parts[0] in ("unit", "contract"):
            patch.setenv("SSL_CERT_FILE", os.devnull)
            patch.setenv("SSL_CERT_DIR", str(empty_folder))
        yield


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """A fake API server."""
    async with FakeApiServer.running() as server:
        yield server


@pytest.fixture
async def client(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeClient]:
    """A client of the fake API server."""
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with KubeClient.connect("test") as client:
        yield client

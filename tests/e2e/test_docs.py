"""Pages of docs/ for users: their manifests and commands as they are written, on a small guest of another name.

`make test-all`, because `make test` is at the limit of its time. What is not run, and why, is `documentation.NOT_RUN`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.e2e import documented
from tests.e2e.claims import shared_volume
from tests.e2e.cluster import kubectl
from tests.e2e.guests import image
from tests.support import documentation
from tests.support.documentation import Manifest, for_a_test

pytestmark = [pytest.mark.parallel, pytest.mark.slow]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The reader's."""
    return documented.home(tmp_path)


@pytest.fixture(params=documentation.PAGES)
def page(request: pytest.FixtureRequest) -> Iterator[str]:
    """A page; what its commands have made is deleted, the machine first."""
    name = f"{request.param}-ada"
    with what_the_cluster_lacks(request.param, name):
        try:
            yield request.param
        finally:
            kubectl("delete", "vm,service", name, "--ignore-not-found", "--timeout=90s")
            kubectl("delete", "vmim", f"{name}-move", "--ignore-not-found", "--timeout=60s")
            kubectl("delete", "migrationpolicy", f"{name}-policy", "--ignore-not-found")


def what_the_cluster_lacks(page: str, name: str) -> AbstractContextManager[None]:
    """A volume for the claim of docs/storage.md: there is no provisioner."""
    return shared_volume(f"{name}-data", "128Mi") if page == "storage" else nullcontext()


def test_the_commands_of_a_page_work_as_they_are_written(
    page: str, environment: dict[str, str], tmp_path: Path
) -> None:
    name, small = f"{page}-ada", image("guest-disk")
    for step in documentation.steps(documentation.page(page)):
        if isinstance(step, Manifest):
            (tmp_path / for_a_test(step.file, name, small)).write_text(for_a_test(step.text, name, small))
        elif step.why_not_run:
            print(f"not run: {step.line}: it {step.why_not_run}")
        else:
            command = for_a_test(step.line, name, small)
            print(f"$ {command}\n{documented.run(command, environment, tmp_path)}", flush=True)

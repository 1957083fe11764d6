"""The Helm chart, rendered by real helm: the same objects as the two manifests, for any values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from localcluster import clients
from localcluster.settings import PROJECT_ROOT, Cluster
from virt_operator.packaging.chart import write_chart
from virt_operator.packaging.manifest import write_manifests
from virt_operator.strategy.settings import InstallSettings

Objects = dict[tuple[str, str, str], Any]
HOOK = "helm.sh/hook"
ADDED = {
    ("ServiceAccount", "suite", "kubevirt-chart"),
    ("Role", "suite", "kubevirt-chart"),
    ("RoleBinding", "suite", "kubevirt-chart"),
}
"""What the chart has and the manifests have not: the account of its two Jobs."""


@pytest.fixture(scope="session")
def helm() -> Path:
    """Built on the first run: half a minute where Kubernetes was built, else two minutes."""
    return clients.ensure(clients.HELM, Cluster.load())


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return chart_of(tmp_path, {})


def chart_of(parent: Path, digests: dict[str, str]) -> Path:
    folder = parent / "kubevirt"
    made_for = {"registry": "registry.example/suite", "tag": "v1", "version": "0.1.0"}
    write_chart(PROJECT_ROOT / "charts" / "kubevirt", folder, **made_for, use_emulation=True, digests=digests)
    return folder


def run(helm: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *arguments], capture_output=True, text=True, timeout=60, check=False)


def rendered(helm: Path, chart: Path, *values: str) -> list[Any]:
    sets = [argument for value in values for argument in ("--set", value)]
    done = run(helm, "template", "name", chart, "--namespace", "suite", *sets)
    assert done.returncode == 0, done.stderr
    return [body for body in yaml.safe_load_all(done.stdout) if body]


def by_name(objects: list[Any]) -> Objects:
    named = {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}
    assert len(named) == len(objects)
    return named


def hooks(objects: list[Any]) -> dict[str, Any]:
    """Jobs by the moment at which helm runs them."""
    found: dict[str, Any] = {}
    for body in objects:
        if HOOK in body["metadata"].get("annotations", {}):
            found |= dict.fromkeys(body["metadata"]["annotations"][HOOK].split(","), body)
    return found


def applied(job: Any) -> Any:
    command, *more = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert command == "after-install"
    return json.loads(more[0].removeprefix("--kubevirt=")) if more else None


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (InstallSettings("suite", "registry.example/suite", "v1"), []),
        (
            InstallSettings("suite", "other.example:5000/a/b", "1.0", "Always"),
            ["registry=other.example:5000/a/b", "pullPolicy=Always", "tag='1.0'"],
        ),
    ],
)
def test_the_chart_has_the_objects_of_the_manifests(
    settings: InstallSettings, values: list[str], helm: Path, chart: Path, tmp_path: Path
) -> None:
    compare(helm, chart, settings, tmp_path, values)


DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("virt-api", "virt-operator"))}


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (InstallSettings("suite", "registry.example/suite", "v1", digests=DIGESTS), []),
        (InstallSettings("suite", "mirror.example", "v1", digests=DIGESTS), ["registry=mirror.example"]),
    ],
)
def test_a_chart_with_digests_has_those_of_the_manifests(
    settings: InstallSettings, values: list[str], helm: Path, tmp_path: Path
) -> None:
    compare(helm, chart_of(tmp_path, DIGESTS), settings, tmp_path, values)


def test_digests_are_not_used_with_another_tag(helm: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart_of(tmp_path, DIGESTS), "tag=v2")
    (deployment,) = (body for body in objects if body["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/suite/virt-operator:v2"
    assert {"name": "VIRT_IMAGE_DIGESTS", "value": ""} in container["env"]
    (job,) = hooks(objects)["pre-delete"]["spec"]["template"]["spec"]["containers"]
    assert job["image"] == container["image"]


def compare(helm: Path, chart: Path, settings: InstallSettings, folder: Path, values: list[str]) -> None:
    operator, suite = write_manifests(settings, folder / "manifests", use_emulation=True)
    wanted = by_name(list(yaml.safe_load_all(operator.read_text())))
    del wanted["Namespace", "", "suite"]  # helm keeps the release in it, so it is there before; a Job labels it
    everything = rendered(helm, chart, *[value.replace("'", "") for value in values])
    found = by_name([body for body in everything if HOOK not in body["metadata"].get("annotations", {})])
    assert set(found) == set(wanted) | ADDED
    for name, body in wanted.items():
        assert found[name] == body, name
    assert applied(hooks(everything)["post-install"]) == yaml.safe_load(suite.read_text())


def test_the_jobs_run_the_operators_image_at_their_moments(helm: Path, chart: Path) -> None:
    found = hooks(rendered(helm, chart))
    assert set(found) == {"post-install", "post-upgrade", "post-rollback", "pre-delete"}
    for job in found.values():
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "registry.example/suite/virt-operator:v1"
    removal = found["pre-delete"]["spec"]["template"]["spec"]["containers"][0]
    assert removal["args"] == ["before-removal", "--delete"]


def test_without_a_kubevirt_object_of_its_own_the_chart_deletes_none(helm: Path, chart: Path) -> None:
    found = hooks(rendered(helm, chart, "kubevirt.create=false"))
    assert applied(found["post-install"]) is None
    assert found["pre-delete"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["before-removal"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("registy=typing.error", "registy"),
        ("kubevirt.specs.x=1", "specs"),
        ("registry=ends.with/slash/", "registry"),
        ("registry=", "registry"),
        ("pullPolicy=Sometimes", "pullPolicy"),
        ("tag=it's", "tag"),
        ("digests.virt-api=v1", "digests"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(value: str, words: str, helm: Path, chart: Path) -> None:
    done = run(helm, "template", "name", chart, "--set", value)
    assert done.returncode != 0
    assert words in done.stderr


def test_helm_finds_nothing_to_complain_about(helm: Path, chart: Path) -> None:
    done = run(helm, "lint", "--strict", chart)
    assert done.returncode == 0, done.stdout + done.stderr

"""The pages of docs/ for users: admission accepts their manifests, files that commands name are there, and links and
index lead somewhere. tests/e2e/test_docs.py runs the commands."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import virt_handler.machines.migratable
import yaml
from virt_core.conventions.conditions import UNSUPPORTED_SPEC
from virt_core.migration.admission import policy_refusals, spec_refusals
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.migration_configuration import MigrationConfiguration
from virt_core.vm import admission as vm_admission
from virt_core.vmi.accepted import accept
from virt_operator.packaging.supported import supported_paths

from tests.support.documentation import DOCS, NOT_RUN, PAGES, Command, Manifest, commands, for_a_test, page, steps

ROOT = DOCS.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
MANIFESTS = [(name, step) for name in PAGES for step in steps(page(name)) if isinstance(step, Manifest)]
OBJECTS = [(name, body) for name, manifest in MANIFESTS for body in yaml.safe_load_all(manifest.text)]
LINES = [(name, line) for name in PAGES for line in commands(page(name))]
OTHERS = {"Service": "v1", "PersistentVolumeClaim": "v1"}
"""Kinds of Kubernetes' own, which no rule of ours is about."""

_PATH = re.compile(r"`((?:domain|networks\[\]|volumes\[\])\.[\w.\[\]]+)(?:: [^`]*)?`")
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"(?m)^#+ (.+)$")
_FENCE = re.compile(r"(?ms)^```.*?^```$")


def refusals(body: dict[str, Any]) -> tuple[Any, ...]:
    match body["kind"]:
        case "VirtualMachine":
            return vm_admission.admit(body, None, Configuration(), is_own_account=False)
        case "VirtualMachineInstanceMigration":
            return spec_refusals(body, by_controller=False)
        case "MigrationPolicy":
            return policy_refusals(body)
    assert OTHERS[body["kind"]] == body["apiVersion"]
    return ()


@pytest.mark.parametrize(
    ("name", "body"), OBJECTS, ids=lambda value: value if isinstance(value, str) else value["kind"]
)
def test_an_object_of_a_page_is_admitted(name: str, body: dict[str, Any]) -> None:
    assert body["metadata"]["name"].split("-")[0] == "ada", "a test renames only what is called so"
    assert refusals(body) == ()
    if body["kind"] == "VirtualMachine":
        accept(body["spec"]["template"]["spec"], Configuration())


def test_what_no_guest_can_have_would_be_noticed() -> None:
    (body,) = yaml.safe_load_all(next(manifest.text for name, manifest in MANIFESTS if name == "concepts"))
    body["spec"]["template"]["spec"]["domain"]["devices"]["tpm"] = {}
    assert refusals(body)


@pytest.mark.parametrize("name", PAGES)
def test_every_yaml_block_of_a_page_is_a_file_that_a_command_applies(name: str) -> None:
    found = steps(page(name))
    files = [step.file for step in found if isinstance(step, Manifest)]
    assert len(files) == page(name).count("```yaml\n")
    saved: set[str] = set()
    used: set[str] = set()
    for step in found:
        if isinstance(step, Manifest):
            saved.add(step.file)
        else:
            used |= set(re.findall(r"-f (\S+)", step.line))
            assert used <= saved, step.line
    assert used == saved


@pytest.mark.parametrize("name", PAGES)
def test_a_page_waits_with_a_limit_and_removes_what_it_makes(name: str) -> None:
    lines = commands(page(name))
    waits = [line for line in lines if line.startswith("kubectl wait")]
    assert waits and all("--timeout" in line for line in waits)
    assert any(line.startswith("kubectl delete") for line in lines)


def test_what_is_not_run_is_in_a_page() -> None:
    for beginning in NOT_RUN:
        assert any(line.startswith(beginning) for _, line in LINES), beginning


def test_each_command_of_virtctl_is_known_to_work() -> None:
    clients = (DOCS / "clients.md").read_text()
    for _, line in LINES:
        if line.startswith("virtctl"):
            assert re.search(rf"\| `{' '.join(line.split()[:2])} [^|]*` \| works", clients), line


def test_a_test_changes_image_size_and_name() -> None:
    text = "virtctl start ada # ada.yaml, ada-data, adagio, 1Gi of registry.example.com/debian:13"
    assert for_a_test(text, "x", "small:1") == "virtctl start x # x.yaml, x-data, adagio, 128Mi of small:1"


def test_commands_and_manifests_come_in_the_order_of_the_page() -> None:
    text = (
        "    kubectl get vm\n\n```yaml\n# a.yaml\nkind: X\n    kubectl no\n```\n\n"
        "1. x:\n\n        virtctl a \\\n          b\n\n```yaml\npart: 1\n```\n"
    )
    assert steps(text) == [
        Command("kubectl get vm"),
        Manifest("a.yaml", "# a.yaml\nkind: X\n    kubectl no\n"),
        Command("virtctl a \\\n          b"),
    ]


def test_a_field_that_a_page_names_by_its_path_is_supported() -> None:
    named = {path for name in PAGES for path in _PATH.findall(page(name))}
    assert len(named) > 5 and named <= set(supported_paths())


def test_the_limits_of_migrations_are_those_of_the_code() -> None:
    section = page("migration").partition("## Limits and policies")[2]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+)", section)
    defaults = MigrationConfiguration().resolved().to_builtins()
    supported = (DOCS / "supported.md").read_text()
    for field, default in rows:
        assert f"`configuration.migrations.{field}`" in supported
        assert default in ("as", str(defaults[field]).lower()), field
    policy = {field for field, _ in rows[2:]} - {"progressTimeout"}
    values = {field: 1 if field.endswith(("GiB", "Migration")) else True for field in policy}
    assert policy_refusals({"spec": values}) == ()
    assert policy_refusals({"spec": {"progressTimeout": 1}})


def test_each_reason_why_a_guest_cannot_move_is_explained() -> None:
    tree = ast.parse(Path(virt_handler.machines.migratable.__file__).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_Obstacle"]
    reasons = {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}
    explained = re.findall(r"(?m)^\| `(\w+)` \| .+ \| .+ \|$", page("migration").partition("\n## Move")[0])
    assert len(calls) > 4 and sorted(explained) == sorted({*reasons, UNSUPPORTED_SPEC})


@cache
def anchors(path: Path) -> frozenset[str]:
    """Of the headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", path.read_text()))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    for file, anchor in _LINK.findall(_FENCE.sub("", document.read_text())):
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), file
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{file}#{anchor}"


def test_the_index_has_every_page() -> None:
    linked = {file for file, _ in _LINK.findall((DOCS / "README.md").read_text())}
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= linked


def test_the_list_of_the_readme_has_every_page() -> None:
    listed = (ROOT / "README.md").read_text().partition("\n## Documentation\n")[2]
    linked = [file for file, _ in _LINK.findall(listed)]
    assert {f"docs/{path.name}" for path in DOCS.glob("*.md")} <= set(linked)

"""The next release that a script makes of this tree: it carries one field more, and this release refuses it by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kubevirt.launcher.v1 import launcher_pb2
from localcluster.releases import crds, protos
from msgspec import Raw
from virt_core.release import FEATURE_LEVEL
from virt_core.rpc.errors import UnsupportedByPeer
from virt_core.rpc.must_understand import refuse_unknown
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.instance import parse_spec

from tests.next_release.edits import FIELD_NUMBER, Edit, PlaceNotFound, next_version
from tests.next_release.faults import FAULTS
from tests.next_release.tree import SOURCE, environment, make_tree

SPEC = json.dumps({"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "note": "kept"}})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("next") / "tree"
    make_tree(folder)
    return folder


@pytest.fixture(scope="module")
def carried(tree: Path) -> Any:
    """What the next release makes of the field."""
    argv = [sys.executable, str(Path(__file__).with_name("carried.py")), SPEC]
    done = subprocess.run(argv, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_next_release_carries_the_field_to_the_domain(tree: Path, carried: Any) -> None:
    assert "<description>kept</description>" in carried["xml"]
    assert carried["schema"] == {"type": "string"}
    assert carried["level"] == FEATURE_LEVEL + 1
    assert (tree / "VERSION").read_text().strip() == next_version((SOURCE / "VERSION").read_text().strip())


def test_it_does_not_send_the_field_to_an_older_launcher(carried: Any) -> None:
    assert carried["refused"] == "StartMachineRequest.machine.note"


def test_this_release_refuses_the_field_by_name_in_the_spec_and_by_number_in_the_message(carried: Any) -> None:
    with pytest.raises(UnsupportedSpec, match=r"spec\.domain\.note: is not supported"):
        parse_spec(Raw(SPEC.encode()))
    with pytest.raises(UnsupportedByPeer, match=rf"StartMachineRequest\.machine\.{FIELD_NUMBER}$"):
        refuse_unknown(launcher_pb2.StartMachineRequest.FromString(bytes.fromhex(carried["request"])))


def test_what_the_next_release_adds_breaks_no_contract_of_this_one(tree: Path) -> None:
    done = subprocess.run(["buf", "lint"], cwd=tree / "protos", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert protos.problems(SOURCE / "protos", tree / "protos") == []
    assert crds.problems(crds.of_tree(SOURCE), crds.of_tree(tree)) == []


def test_an_edit_whose_place_is_gone_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one two")
    with pytest.raises(PlaceNotFound, match=r"a\.py: 0 times 'three'"):
        Edit("a.py", "three", "four").apply(tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_next_release_has_its_place_in_this_tree(fault: str, tmp_path: Path) -> None:
    for edit in FAULTS[fault]:
        place = tmp_path / edit.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((SOURCE / edit.path).read_text())
        edit.apply(tmp_path)
        compile(place.read_text(), edit.path, "exec")

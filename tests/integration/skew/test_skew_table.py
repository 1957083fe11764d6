"""Each contract, each direction, each pair of releases: every RPC works or is refused with the field's path."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.skew.client import services
from tests.support.skew.matrix import DOCUMENT, NEXT, THIS, matrix, releases
from tests.support.skew.suite import CALLS
from tests.support.skew.table import Matrix, broken, cell, page


@pytest.fixture(scope="module")
def found() -> Iterator[Matrix]:
    """The outcomes of all calls."""
    with tempfile.TemporaryDirectory(prefix="sk-", dir="/tmp") as folder:  # short: unix sockets
        yield asyncio.run(matrix(releases(Path(folder)), Path(folder)))


def test_no_call_between_two_releases_breaks(found: Matrix) -> None:
    assert broken(found) == []


def test_what_a_sender_refuses_by_name_its_peer_refuses_by_number(found: Matrix) -> None:
    refusals = [outcomes for rpcs in found.values() for outcomes in rpcs.values() if outcomes.get("forced")]
    assert refusals, "the next release has a field that the others lack"
    for outcomes in refusals:
        named = [outcome.rpartition(".") for outcome in outcomes["full"] if outcome.startswith("refused ")]
        numbered = [outcome.rpartition(".") for outcome in outcomes["forced"]]
        assert [above for above, _, _ in numbered] == [above for above, _, _ in named]
        assert all(number.isdecimal() for _, _, number in numbered)


@pytest.mark.parametrize("method", ["StartMachine", "WatchMachine", "CommandMachine", "StopMachine", "AcknowledgeEnd"])
def test_a_machine_without_new_fields_lives_its_life_in_every_launcher(found: Matrix, method: str) -> None:
    rpc = f"virt-launcher kubevirt.launcher.v1.LauncherService/{method}"
    assert {pair: rpcs[rpc]["usual"] for pair, rpcs in found.items() if rpcs[rpc]["usual"] != ["works"]} == {}


def test_every_process_says_to_every_release_what_it_is(found: Matrix) -> None:
    said = {
        (pair, rpc): cell(outcomes)
        for pair, rpcs in found.items()
        for rpc, outcomes in rpcs.items()
        if rpc.endswith("/GetInfo")
    }
    assert set(said.values()) == {"works"}
    assert len(said) == len(found) * len({component for _, component, _ in CALLS})


def test_every_rpc_of_this_trees_contracts_is_called(found: Matrix) -> None:
    """A new service needs an entry in CALLS: who calls it, and where."""
    called = {rpc.partition(" ")[2] for rpc in found[THIS, NEXT]}
    assert called == {f"{service.full_name}/{method.name}" for service in services() for method in service.methods}


def test_the_document_is_what_was_found(found: Matrix) -> None:
    assert page(found) == DOCUMENT.read_text(), "python -m tests.support.skew.matrix writes it again"

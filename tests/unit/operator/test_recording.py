"""docs/virtadm.md shows an upgrade as virtadm does. `make recording` writes it there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from .recording import record

DOCUMENT = Path(__file__).parents[3] / "docs" / "virtadm.md"
NAMES = ("lines", "wave", "moves")


def marks(name: str) -> tuple[str, str]:
    return f"<!-- recording: {name}, written by `make recording` -->\n", f"<!-- recording: end of {name} -->\n"


def replaced(document: str, name: str, shown: str) -> str:
    """The document with this part of the recording replaced, as a block."""
    (before, rest), (begin, end) = document.split(marks(name)[0]), marks(name)
    block = "".join(f"    {line}\n" if line else "\n" for line in shown.splitlines())
    return f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}"


async def test_the_recording_in_the_docs_is_what_virtadm_shows_of_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = await record(tmp_path, monkeypatch)
    before = after = DOCUMENT.read_text()
    for name, shown in recorder.shown().items():
        after = replaced(after, name, shown)
    if os.environ.get("RECORDING"):
        DOCUMENT.write_text(after)
    else:
        assert after == before, "virtadm or virt-operator shows something else now: make recording"


def test_the_recording_has_each_part_of_an_upgrade() -> None:
    document = DOCUMENT.read_text()
    parts = [document.split(begin)[1].split(end)[0] for begin, end in map(marks, NAMES)]
    for expected in (
        r"\$ virtadm upgrade --to \S+\n +Update .* 0 in the way",
        r"wave 1 on node1, since \S+\n",
        r"being probed with a guest",
        r"wave 3 on node3, since \S+, proven ",
        r"virt-controller-\d+ holds the Lease",
        r"1 moving\)",
        r"3 running \(3 on new launchers, 0 on old ones, 0 moving\), 0 starting\n +\$ virtadm finalize",
        r"change: finalized\n\n$",
    ):
        assert re.search(expected, parts[0]), expected
    assert "▶ virt-handler" in parts[1].replace("\n   ", "") and "1 moving" in parts[2]

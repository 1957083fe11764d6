"""The termination message of a launcher whose pod is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubevirt.launcher.v1 import state_pb2 as pb
from virt_launcher.shutdown import record_end


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (pb.MACHINE_END_SHUTDOWN, "GuestShutdown"),
        (pb.MACHINE_END_DESTROYED, "GuestDestroyed"),
        (pb.MACHINE_END_CRASHED, ""),
        (pb.MACHINE_END_PANICKED, ""),
    ],
)
def test_how_the_guest_ended_is_in_the_termination_message(
    tmp_path: Path, end: pb.MachineEnd.ValueType, word: str
) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    record_end(end, message)
    assert message.read_text() == word


def test_outside_of_a_pod_nothing_is_written(tmp_path: Path) -> None:
    record_end(pb.MACHINE_END_SHUTDOWN, tmp_path / "absent")
    assert not (tmp_path / "absent").exists()

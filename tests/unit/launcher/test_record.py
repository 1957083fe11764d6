"""The record survives a crash of its writer."""

from __future__ import annotations

from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_launcher.machine.record import Record, RecordFolder


def test_next_process_reads_what_the_last_one_wrote(tmp_path: Path) -> None:
    machine, running = machine_pb2.Machine(uid="u"), state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_RUNNING)
    ended = state_pb2.MachineState(phase=state_pb2.MACHINE_PHASE_ENDED)
    assert RecordFolder(tmp_path).record == Record()
    writer = RecordFolder(tmp_path)
    writer.write_machine(machine)
    assert RecordFolder(tmp_path).record == Record(machine)
    writer.write_running(running)
    writer.write_ended(ended)
    assert RecordFolder(tmp_path).record == writer.record == Record(machine, running, ended)


def test_half_written_file_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "machine.part").write_bytes(b"\x0a\x05ab")
    assert RecordFolder(tmp_path).record == Record()

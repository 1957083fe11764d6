"""Values of a contract's enums are the words of KubeVirt's API and of libvirt."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import machine_pb2
from virt_core.rpc.words import number, word


def test_a_word_and_its_value_stand_for_each_other() -> None:
    assert word(machine_pb2.DiskCache, machine_pb2.DISK_CACHE_WRITEBACK) == "writeback"
    assert number(machine_pb2.WatchdogModel, "i6300esb") == machine_pb2.WATCHDOG_MODEL_I6300ESB
    for value in machine_pb2.TimerName.values():
        assert number(machine_pb2.TimerName, word(machine_pb2.TimerName, value)) == value


def test_what_the_contract_has_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="UNSAFE"):
        number(machine_pb2.DiskCache, "unsafe")
    with pytest.raises(ValueError, match="99"):
        word(machine_pb2.DiskCache, 99)

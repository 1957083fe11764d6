"""VirtualMachine as caches hold it."""

from __future__ import annotations

import sys

import msgspec
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

_KINDS = (VirtualMachine, VirtualMachineInstance)


def test_a_cached_object_does_not_keep_the_answer_that_it_came_in() -> None:
    for kind in _KINDS:
        answer = b" ".join([b'{"metadata":{"name":"guest","managedFields":[]},"spec":{"template":{}}}'])
        before = sys.getrefcount(answer)
        decoded = msgspec.json.decode(answer, type=kind)
        assert sys.getrefcount(answer) == before
        assert msgspec.json.encode(decoded).count(b'"template"') == 1

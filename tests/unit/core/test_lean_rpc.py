"""gRPC and messages work without the modules that the launcher leaves out."""

from __future__ import annotations

import subprocess
import sys

from tests.support.patience import PATIENCE

SCRIPT = """
import sys
from virt_core.rpc import lean
lean.load()
import virt_launcher.app
from kubevirt.launcher.v1 import command_pb2, machine_pb2
from google.protobuf.internal import python_message
assert "google.protobuf.text_format" not in sys.modules
assert not hasattr(python_message, "GeneratedProtocolMessageType")
assert getattr(sys.modules["typing_extensions"], "__file__", None) is None

machine = machine_pb2.Machine(uid="u", name="n")
machine.shutdown_grace_period.FromSeconds(60)
machine.interfaces.add(name="default").dhcp.routes.add(prefix_length=16)
again = machine_pb2.Machine.FromString(machine.SerializeToString(deterministic=True))
assert again == machine and "prefix_length: 16" in str(again)
assert machine_pb2.Machine.DESCRIPTOR.fields_by_name["uid"].number == 1
assert again.WhichOneof is not None and command_pb2.Command(reset=command_pb2.Reset()).WhichOneof("command") == "reset"
unknown = machine_pb2.Machine.FromString(machine.SerializeToString() + bytes([0xC2, 0x3E, 1, 65]))
assert unknown.SerializeToString() != machine.SerializeToString()
"""


def test_a_launcher_does_without_messages_in_python() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr

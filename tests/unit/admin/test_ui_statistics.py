"""A guest's statistics in the metrics of its virt-handler, and the page's arithmetic with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kubevirt.launcher.v1 import statistics_pb2 as pb
from virt_admin.ui.statistics import statistics
from virt_core.metrics import exposition
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.metrics import families

PAGE = Path(__file__).parents[3] / "services" / "admin" / "page"
TEXT = """\
# HELP kubevirt_vmi_cpu_usage_seconds_total Total CPU time.
# TYPE kubevirt_vmi_cpu_usage_seconds_total counter
kubevirt_vmi_cpu_usage_seconds_total{node="n",namespace="default",name="a"} 12.5
kubevirt_vmi_cpu_usage_seconds_total{node="n",namespace="other",name="a"} 99
kubevirt_vmi_cpu_usage_seconds_total{node="n",namespace="default",name="aa"} 98
kubevirt_vmi_memory_resident_bytes{node="n",namespace="default",name="a"} 1.5e+08
kubevirt_vmi_network_receive_bytes_total{node="n",namespace="default",name="a",interface="x\\"}y"} 10
kubevirt_vmi_network_receive_bytes_total{node="n",namespace="default",name="a",interface="vnet1"} 5
"""


def test_a_guests_statistics_are_its_own_and_of_all_its_interfaces() -> None:
    found = statistics(TEXT, "default", "a")
    assert (found.cpu_seconds, found.memory_bytes, found.received_bytes, found.sent_bytes) == (12.5, 1.5e8, 15.0, None)
    assert found.memory_meaning == "resident on the node"


def test_memory_is_what_the_guest_uses_if_its_balloon_says_so() -> None:
    """The names are those of virt-handler's metrics: what is used is the difference."""
    said = [pb.MemoryStatistics(available_bytes=900, usable_bytes=700, resident_bytes=1000) for _ in range(2)]
    said[1].ClearField("usable_bytes")
    meta = {"name": "a", "namespace": "default"}
    vmi = VirtualMachineInstance.of({"metadata": meta, "spec": {"domain": {}}, "status": {}})
    texts = [exposition.text(families([(vmi, pb.MachineStatistics(memory=memory))])).decode() for memory in said]
    found = [statistics(text, "default", "a") for text in texts]
    assert [(each.memory_bytes, each.memory_meaning) for each in found] == [
        (200.0, "as the guest sees it"),
        (1000.0, "resident on the node"),
    ]


def test_what_is_not_shown_is_not_known() -> None:
    assert statistics(TEXT, "default", "b").cpu_seconds is None
    assert statistics('kubevirt_vmi_x{name="a" broken', "default", "a").memory_meaning == ""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_page_computes_rates_and_amounts() -> None:
    tests = sorted(map(str, (PAGE / "test").glob("*.test.js")))
    done = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

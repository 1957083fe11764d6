"""The launcher container's log: what `kubectl logs` shows of a good life."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from kubevirt.launcher.v1 import state_pb2

if TYPE_CHECKING:
    from tests.integration.launcher.pod import Pod

# A line of libvirtd is "TIME: THREAD: LEVEL : FUNCTION:LINE : MESSAGE", a line of ours is JSON.
ERROR = re.compile(r'^[^{]*: error : |"level": ?"(error|critical)"')


def errors(pod: Pod) -> list[str]:
    return [line for line in pod.log.splitlines() if ERROR.search(line)]


async def test_a_good_life_has_no_line_of_level_error_in_its_log(pod: Pod) -> None:
    state = await pod.start_machine(pod.machine())
    assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, pod.log
    await pod.wait_for_console(b"guest-demo login: ", b"ready")
    assert pod.run_inside("/usr/lib/kubevirt/virt-probe", "guest-agent-ping").returncode == 1
    await pod.kill("supervisor", signal.SIGTERM)
    assert await pod.exit_status() == 0
    assert errors(pod) == []
    assert "libvirt version" in pod.log


async def test_an_error_that_is_not_expected_is_in_the_log(pod: Pod) -> None:
    machine = pod.machine()
    machine.interfaces[0].tap_device = "nosuchtap"
    await pod.start_machine(machine)
    assert any("dev doesn't exist" in line for line in errors(pod)), pod.log


async def test_only_lines_with_one_of_the_texts_are_left_out(pod: Pod) -> None:
    shell = "echo out; printf 'harmless 1\\nbad\\nalso fine\\n%010000d harmless\\nlast, unfinished' 0 >&2; exit 3"
    program = ("/usr/lib/kubevirt/without-lines", "harmless", "fine", "--", "/bin/sh", "-c", shell)
    ended = pod.run_inside(*program)
    assert (ended.returncode, ended.stdout) == (3, "out\n")
    lines = ended.stderr.split("\n")
    assert [lines[0], lines[1][-9:], *lines[2:]] == ["bad", " harmless", "last, unfinished"]
    assert pod.run_inside("/usr/lib/kubevirt/without-lines", "harmless").returncode == 64

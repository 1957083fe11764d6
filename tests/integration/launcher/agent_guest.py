"""The demonstration guest with Debian's own guest agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubevirt.launcher.v1 import machine_pb2, state_pb2

from tests.integration.launcher.commands import run
from tests.integration.launcher.pod import PRIVATE, Pod


async def start_guest(pod: Pod, **changes: Any) -> None:
    """Start the guest with the agent's archive behind its initial RAM disk; returns when its shell can start the
    agent."""
    with (pod.volumes["kernel-boot"] / "initrd").open("ab") as initrd:
        initrd.write((Path(pod.images.guest) / "boot/agent").read_bytes())
    disk = pod.volumes["private"] / "disk.img"
    run("mkfs.ext4", "-q", str(disk), "8M")
    disk.chmod(0o666)
    machine = pod.machine(memory_bytes=192 << 20, **changes)
    machine.disks.add(
        name="d",
        device=machine_pb2.DISK_DEVICE_DISK,
        bus=machine_pb2.DISK_BUS_VIRTIO,
        image_file=machine_pb2.ImageFile(path=f"{PRIVATE}/disk.img"),
    )
    state = await pod.start_machine(machine)
    assert state.phase == state_pb2.MACHINE_PHASE_RUNNING, pod.log
    await pod.wait_for_console(b"guest-demo: lease ", b"\n")


async def start_agent(pod: Pod) -> None:
    """Have the guest start its agent; returns when the agent is reported."""
    await pod.type(b"\n/agent/start &\n")
    await pod.wait_for_state(lambda state: state.HasField("agent"))


async def start_with_agent(pod: Pod) -> None:
    """Both."""
    await start_guest(pod)
    await start_agent(pod)

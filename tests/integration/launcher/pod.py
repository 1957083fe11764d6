"""One pod as the kubelet would run it, without Kubernetes: runc on the image's root file system.

uid 107, no capabilities, no new privileges, the default seccomp profile, read-only root, a network namespace with the
tap device and bridge that the handler would make.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from kubevirt.launcher.v1 import command_pb2, launcher_pb2, launcher_pb2_grpc, machine_pb2, state_pb2
from virt_core.rpc.peer import Peer

from tests.integration.launcher.commands import discard, run
from tests.integration.launcher.images import Images
from tests.integration.launcher.oci import USER, Mounts, oci_config
from tests.integration.launcher.waiting import changes_until, readable
from tests.support.patience import PATIENCE
from tests.support.process_age import started

KERNEL_BOOT = "/var/run/kubevirt/kernel-boot"
HELPERS = "/var/run/kubevirt/helpers"
PRIVATE = "/var/run/kubevirt-private"
GUEST_ADDRESS, BRIDGE, TAP, MAC = "10.0.2.2", "k6t-eth0", "tap0", "52:54:00:00:00:01"
CLONE_NEWNET = 0x40000000  # sched.h; the os module has it from Python 3.12 on


class Pod:
    """One pod: a network namespace, three volumes, a launcher container."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.name = f"lt-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp(prefix="lt-", dir="/tmp"))  # short: unix sockets
        self.volumes = {part: self.folder / part for part in ("sockets", "private", "kernel-boot")}
        for volume in self.volumes.values():
            volume.mkdir()
            volume.chmod(0o777)
        (self.folder / "resolv.conf").write_text("nameserver 10.96.0.10\nsearch default.svc.cluster.local\n")
        self.uid = str(uuid.uuid4())
        self.peer = Peer(f"unix:{self.volumes['sockets'] / 'launcher-sock'}", name="launcher")
        self.stub: Any = launcher_pb2_grpc.LauncherServiceStub(self.peer.channel)
        self._process: asyncio.subprocess.Process | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._console: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def programs(self) -> Path:
        """The static programs of the launcher's image."""
        return Path(self.images.launcher) / "usr/lib/kubevirt"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def bring_up(self) -> None:
        """Start all of it; the launcher has no machine yet."""
        self.make_network()
        placed = self.place_boot_files()
        assert placed.returncode == 0, placed.stderr
        await self.start()
        await self.peer.negotiate(timeout=PATIENCE)

    def make_network(self) -> None:
        """What the handler does."""
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.add_bridge(BRIDGE, "10.0.2.1/24", TAP)
        run("ip", "netns", "exec", self.name, "sysctl", "-q", "-w", "net.ipv4.ip_unprivileged_port_start=0")

    def add_bridge(self, bridge: str, address: str, tap: str) -> None:
        """A bridge with an address, and the tap device of a guest's card on it."""
        inside = ("ip", "-n", self.name)
        run(*inside, "link", "add", bridge, "type", "bridge")
        run(*inside, "addr", "add", address, "dev", bridge)
        run(*inside, "tuntap", "add", tap, "mode", "tap", "user", str(USER))
        run(*inside, "link", "set", tap, "master", bridge, "up")
        run(*inside, "link", "set", bridge, "up")

    def place_boot_files(self, kernel: str = "/boot/vmlinuz") -> subprocess.CompletedProcess[str]:
        """Run the program of the launcher's image in the guest's image, without an attendant."""
        mounts: Mounts = {KERNEL_BOOT: (self.volumes["kernel-boot"], "rw"), HELPERS: (self.programs, "ro")}
        files = [kernel, f"{KERNEL_BOOT}/kernel", "/boot/initrd", f"{KERNEL_BOOT}/initrd"]
        return self._run_to_end("place", self.images.guest, [f"{HELPERS}/boot-files", *files], mounts)

    def mounts(self) -> Mounts:
        """What the launcher container has of the machine."""
        return {
            "/var/run/kubevirt/sockets": (self.volumes["sockets"], "rw"),
            PRIVATE: (self.volumes["private"], "rw"),
            KERNEL_BOOT: (self.volumes["kernel-boot"], "ro"),
            "/etc/resolv.conf": (self.folder / "resolv.conf", "ro"),
        }

    async def start(self, more: Mounts | None = None, entrypoint: list[str] | None = None) -> None:
        """Start the launcher container."""
        mounts = {**self.mounts(), **(more or {})}
        bundle = self._bundle("launcher", self.images.launcher, entrypoint or self.images.entrypoint, mounts)
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "runc", "run", "--bundle", str(bundle), self.name, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def machine(self, **changes: Any) -> machine_pb2.Machine:
        """The demonstration guest."""
        machine = machine_pb2.Machine(
            bootloader=machine_pb2.BOOTLOADER_BIOS,
            uid=self.uid,
            name="demo",
            namespace="default",
            accelerator=machine_pb2.ACCELERATOR_EMULATION,
            machine_type="q35",
            cpu=machine_pb2.CpuTopology(sockets=1, cores=1, threads=1),
            memory_bytes=128 << 20,
            firmware_uuid=self.uid,
            kernel_boot=machine_pb2.KernelBoot(
                kernel_path=f"{KERNEL_BOOT}/kernel",
                initrd_path=f"{KERNEL_BOOT}/initrd",
                command_line="console=ttyS0 quiet no_timer_check",
            ),
            serial_console=machine_pb2.SerialConsole(
                socket_path=f"{PRIVATE}/virt-serial0", log_path=f"{PRIVATE}/virt-serial0-log"
            ),
            interfaces=[
                machine_pb2.NetworkInterface(
                    name="default",
                    mac_address=MAC,
                    model=machine_pb2.NETWORK_CARD_MODEL_VIRTIO,
                    tap_device=TAP,
                    mtu=1450,
                    dhcp=machine_pb2.DhcpLease(
                        bridge_device=BRIDGE,
                        router_address="10.0.2.1",
                        client_address=GUEST_ADDRESS,
                        prefix_length=24,
                        hostname="demo",
                    ),
                )
            ],
        )
        machine.shutdown_grace_period.FromSeconds(60)
        machine.MergeFrom(machine_pb2.Machine(**changes))
        return machine

    async def start_machine(self, machine: machine_pb2.Machine) -> state_pb2.MachineState:
        """StartMachine as the handler calls it."""
        request = launcher_pb2.StartMachineRequest(machine=machine)
        response: launcher_pb2.StartMachineResponse = await self.peer.call(
            self.stub.StartMachine, request, timeout=PATIENCE
        )
        return response.state

    async def stop_machine(self, grace: int) -> state_pb2.MachineState:
        """StopMachine as the handler calls it."""
        request = launcher_pb2.StopMachineRequest(machine_uid=self.uid)
        request.grace_period.FromSeconds(grace)
        response: launcher_pb2.StopMachineResponse = await self.peer.call(self.stub.StopMachine, request, timeout=60)
        return response.state

    async def acknowledge_end(self, end: state_pb2.MachineEnd.ValueType, uid: str = "") -> None:
        """AcknowledgeEnd as the handler calls it."""
        request = launcher_pb2.AcknowledgeEndRequest(machine_uid=uid or self.uid, end=end)
        await self.peer.call(self.stub.AcknowledgeEnd, request, timeout=60)

    async def command(self, **command: Any) -> state_pb2.MachineState:
        """CommandMachine as the handler calls it."""
        request = launcher_pb2.CommandMachineRequest(machine_uid=self.uid, command=command_pb2.Command(**command))
        response: launcher_pb2.CommandMachineResponse = await self.peer.call(
            self.stub.CommandMachine, request, timeout=PATIENCE
        )
        return response.state

    async def wait_for_phase(self, phase: state_pb2.MachinePhase.ValueType) -> state_pb2.MachineState:
        """Watch, again whenever the launcher was replaced, until the machine is in `phase`."""
        return await self.wait_for_state(lambda state: state.phase == phase)

    async def wait_for_state(self, accepted: Callable[[state_pb2.MachineState], bool]) -> state_pb2.MachineState:
        """The same for whatever a state says. Fails with the last state and the end of the log."""
        seen: list[state_pb2.MachineState] = []
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._watch_until(accepted, seen)
        except TimeoutError:
            raise AssertionError(f"last state: {seen[-1:]}\n{self.processes()}\n{self.log[-6000:]}") from None

    async def _watch_until(
        self, accepted: Callable[[state_pb2.MachineState], bool], seen: list[state_pb2.MachineState]
    ) -> state_pb2.MachineState:
        while True:
            call = self.stub.WatchMachine(launcher_pb2.WatchMachineRequest(), wait_for_ready=True)
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for response in call:
                    seen.append(response.state)
                    if accepted(response.state):
                        call.cancel()
                        return seen[-1]

    def run_inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the launcher's container, as the kubelet runs a probe."""
        command = ["runc", "exec", self.name, *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def processes(self) -> dict[str, int]:
        """Host PIDs of the container's processes by role."""
        roles = {
            "supervisor": "/usr/lib/kubevirt/supervisor",
            "launcher": "/opt/kubevirt/bin/python",
            "libvirtd": "/usr/sbin/libvirtd",
            "qemu": "/usr/bin/qemu-system-x86_64",
        }
        found: list[tuple[int, int, str]] = []
        for pid in json.loads(run("runc", "ps", "--format", "json", self.name)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                found += [(started(pid), pid, role) for role, path in roles.items() if path == program]
        # The oldest of each: a child of libvirtd has its name until it becomes QEMU.
        return {role: pid for _, pid, role in sorted(found, reverse=True)}

    async def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal from outside, as soon as the supervisor has the process; return when it is gone."""
        await changes_until(self.folder / "log", lambda: role in self.processes())
        pid = self.processes()[role]
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, number)
            if number == signal.SIGKILL:
                await readable(descriptor)
        finally:
            os.close(descriptor)

    async def exit_status(self) -> int:
        """Wait for the container's end."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def wait_for_console(self, before: bytes, after: bytes) -> bytes:
        """What the guest prints on its serial console between two marks, from where the last call ended."""
        reader, _ = await self._open_console()
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(before)
            return (await reader.readuntil(after))[: -len(after)]

    async def type(self, text: bytes) -> None:
        """Type on the guest's serial console."""
        _, writer = await self._open_console()
        writer.write(text)
        await writer.drain()

    async def _open_console(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The serial console, as the handler opens it."""
        if self._console is None:
            self._console = await asyncio.open_unix_connection(self.volumes["private"] / "virt-serial0")
            self._writers.append(self._console[1])
        return self._console

    async def appears(self, path: Path) -> None:
        """Wait for a file that is renamed into place."""
        await changes_until(path.parent, path.exists)

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection from the pod to the guest."""
        made = await asyncio.to_thread(self._connect, port)
        made.setblocking(False)
        streams = await asyncio.open_connection(sock=made)
        self._writers.append(streams[1])
        return streams

    def _connect(self, port: int) -> socket.socket:
        made: list[socket.socket] = []

        def inside() -> None:
            # A thread has a network namespace of its own; a socket stays in the one where it was made.
            with Path(f"/run/netns/{self.name}").open() as namespace:
                assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0
            made.append(socket.create_connection((GUEST_ADDRESS, port), timeout=60))

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        return made[0]

    async def end(self) -> None:
        """End the container, if it has not ended."""
        if self._process is not None and self._process.returncode is None:
            discard("runc", "kill", self.name, "KILL")
            await self.exit_status()

    async def remove(self) -> None:
        """Leave nothing."""
        for writer in self._writers:
            writer.close()
        await self.peer.close()
        await self.end()
        for name in (self.name, f"{self.name}-place"):
            discard("runc", "delete", "--force", name)
        discard("ip", "netns", "del", self.name)
        shutil.rmtree(self.folder)

    def _run_to_end(self, part: str, root: str, argv: list[str], mounts: Mounts) -> subprocess.CompletedProcess[str]:
        bundle = self._bundle(part, root, argv, mounts)
        command = ["runc", "run", "--bundle", str(bundle), f"{self.name}-{part}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _bundle(self, part: str, root: str, argv: list[str], mounts: Mounts) -> Path:
        bundle = self.folder / f"bundle-{part}"
        bundle.mkdir(exist_ok=True)
        config = oci_config(root, argv, self.images.environment, mounts)
        config["linux"]["namespaces"].append({"type": "network", "path": f"/run/netns/{self.name}"})
        config["linux"]["cgroupsPath"] = f"/{self.name}-{part}"
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

"""A launcher's pod with containerDisks: a process namespace shared with sidecars, as the kubelet makes it.

Used by test_disks.py and test_disk_contents.py. PID 1 is a pause process: the launcher's supervisor is not.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_handler.launchers.block_devices import give

from tests.integration.launcher.commands import discard, run
from tests.integration.launcher.images import Images
from tests.integration.launcher.oci import USER, Mounts
from tests.integration.launcher.pod import HELPERS, Pod

CONTAINER_DISKS = "/var/run/kubevirt/container-disks"
VOLUMES = "/var/run/kubevirt/volumes"


class PodWithDisks(Pod):
    """Two volumes more, and containers of users' images."""

    def __init__(self, images: Images) -> None:
        super().__init__(images)
        for part in ("container-disks", "volumes"):
            self.volumes[part] = self.folder / part
            self.volumes[part].mkdir()
            self.volumes[part].chmod(0o777)
        self._started: list[str] = []
        self._shared: str | None = None
        self._devices: list[tuple[str, Path]] = []

    @property
    def private(self) -> Path:
        """The launcher's own folder."""
        return self.volumes["private"]

    def share_processes(self) -> None:
        """Start the pause process."""
        mounts: Mounts = {CONTAINER_DISKS: (self.volumes["container-disks"], "rw")}
        program = "/usr/lib/kubevirt/container-disk"
        pid = self._run_detached("pause", self.images.launcher, [program, self.socket("pause")], mounts)
        self._shared = f"/proc/{pid}/ns/pid"

    def add_block_device(self, path: str, image: Path) -> None:
        """A device node at `path` in the launcher's container, as for a claim of mode Block. Before the start."""
        self._devices.append((path, Path(run("losetup", "--find", "--show", str(image)).strip())))

    def share_block_devices(self, other: PodWithDisks) -> None:
        """The same devices at the same paths in another pod, as of a claim with ReadWriteMany."""
        other._devices = list(self._devices)

    async def start_machine(self, machine: machine_pb2.Machine) -> state_pb2.MachineState:
        """As the handler does it. The answer comes before a sidecar that has just been started listens."""
        self.give_devices()
        await super().start_machine(machine)
        starts = (state_pb2.MACHINE_PHASE_ABSENT, state_pb2.MACHINE_PHASE_STARTING)
        return await self.wait_for_state(lambda state: state.phase not in starts)

    def give_devices(self) -> None:
        """Make the launcher's user the owner of the devices, which belong to root at first."""
        for path, _ in self._devices:
            root = os.open(f"/proc/{self.processes()['launcher']}/root", os.O_PATH | os.O_DIRECTORY)
            give(root, path, USER)
            os.close(root)

    def volume(self, name: str) -> Path:
        """An empty volume, mounted as the kubelet would."""
        folder = self.volumes["volumes"] / name
        folder.mkdir()
        give_to_the_pod(folder)
        return folder

    def image(self, name: str) -> Path:
        """The root of a user's image, with nothing in it yet."""
        root = self.folder / f"image-{name}"
        root.mkdir(exist_ok=True)
        return root

    def start_sidecar(self, volume: str, root: Path) -> int:
        """The containerDisk's container; its process id on this machine."""
        mounts: Mounts = {CONTAINER_DISKS: (self.volumes["container-disks"], "rw"), HELPERS: (self.programs, "ro")}
        return self._run_detached(volume, str(root), [f"{HELPERS}/container-disk", self.socket(volume)], mounts)

    @staticmethod
    def socket(volume: str) -> str:
        """On which its sidecar listens."""
        return f"{CONTAINER_DISKS}/{volume}.sock"

    def diskful(self, *disks: machine_pb2.Disk) -> machine_pb2.Machine:
        """The demonstration guest's machine, which boots from disks alone."""
        machine = self.machine(disks=disks)
        machine.ClearField("kernel_boot")
        del machine.interfaces[:]
        return machine

    def container_disk(self, name: str = "root", path: str = "", **changes: object) -> machine_pb2.Disk:
        """A disk from a sidecar's image."""
        disk = machine_pb2.Disk(name=name, device=machine_pb2.DISK_DEVICE_DISK, bus=machine_pb2.DISK_BUS_VIRTIO)
        disk.container_disk.socket_path, disk.container_disk.path = self.socket(name), path
        disk.MergeFrom(machine_pb2.Disk(**changes))  # type: ignore[arg-type]
        return disk

    def mounts(self) -> Mounts:
        """Beside the volumes of every launcher."""
        return {
            **super().mounts(),
            CONTAINER_DISKS: (self.volumes["container-disks"], "ro"),
            VOLUMES: (self.volumes["volumes"], "rw"),
        }

    async def remove(self) -> None:
        for name in self._started:
            discard("runc", "delete", "--force", name)
        await super().remove()
        for _, device in self._devices:
            discard("losetup", "--detach", str(device))

    def _run_detached(self, part: str, root: str, argv: list[str], mounts: Mounts) -> int:
        name, pid_file = f"{self.name}-{part}", self.folder / f"{part}.pid"
        bundle = self._bundle(part, root, argv, mounts)
        command = ["runc", "run", "--detach", "--pid-file", str(pid_file), "--bundle", str(bundle), name]
        self._started.append(name)
        with (self.folder / "log").open("ab") as log:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        return int(pid_file.read_text())

    def _bundle(self, part: str, root: str, argv: list[str], mounts: Mounts) -> Path:
        bundle = super()._bundle(part, root, argv, mounts)
        config = json.loads((bundle / "config.json").read_text())
        linux = config["linux"]
        if self._shared is not None:
            kinds = [space for space in linux["namespaces"] if space["type"] != "pid"]
            linux["namespaces"] = [*kinds, {"type": "pid", "path": self._shared}]
        for path, device in self._devices if part == "launcher" else ():
            number = device.stat().st_rdev
            node = {"type": "b", "major": os.major(number), "minor": os.minor(number)}
            linux["devices"].append({**node, "path": path, "fileMode": 0o600, "uid": 0, "gid": 0})
            linux["resources"]["devices"].append({**node, "allow": True, "access": "rwm"})
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle


def qemu_img(*argv: str) -> str:
    """Run the machine's own qemu-img."""
    return run("qemu-img", *argv)


def give_to_the_pod(folder: Path) -> None:
    """Make the pod's user the owner of a volume and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)

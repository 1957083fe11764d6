"""PID 1 of a node: creates the node's namespaces, sets up its file systems and network, keeps its programs running.

Run by node.start() as a separate file: `python node_init.py SPEC`. Prints the host's PID of the node's PID 1, then
waits for a line on standard input, which says that the network link exists. Stdlib only, independent of the rest of the
package. Killing it kills the node with all its pods, like a crash of a machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x04000000, 0x20000000, 0x40000000  # sched.h
SOCKET_SECONDS = 30.0
RESTART_SECONDS = 1.0


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def mount_file_systems(spec: dict[str, Any]) -> None:
    """Mount the node's own /proc, /run, /var/lib and /var/log; all other folders are the machine's.

    The state folder stays visible at its path, also when that is below /var/lib.
    """
    folder, state = Path(spec["folder"]), spec["state"]
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("containerd", "netns", "lock", "cluster-state"):
        Path("/run", name).mkdir()
    run("mount", "--bind", state, "/run/cluster-state")
    for name in ("lib", "log"):
        own = folder / "var" / name
        own.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(own), f"/var/{name}")
    Path(state).mkdir(parents=True, exist_ok=True)
    run("mount", "--bind", "/run/cluster-state", state)
    for name, target, text in (
        ("boot_id", "/proc/sys/kernel/random/boot_id", str(uuid.uuid4())),
        ("machine-id", "/etc/machine-id", uuid.uuid5(uuid.NAMESPACE_DNS, spec["name"]).hex),
    ):
        (folder / name).write_text(text + "\n")
        if Path(target).exists():
            run("mount", "--bind", str(folder / name), target)
    if not Path("/dev/net/tun").exists():
        Path("/dev/net").mkdir(exist_ok=True)
        os.mknod("/dev/net/tun", 0o20666, os.makedev(10, 200))
    run("mount", "--make-rshared", "/")


def set_up_network(spec: dict[str, Any]) -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{spec['address']}/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", spec["gateway"])
    for network, address in spec["routes"]:
        run("ip", "route", "replace", network, "via", address)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    # Pods on the same node reach each other through a service only if bridged traffic passes kube-proxy's rules.
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1\n")


def wait_for_socket(path: str) -> None:
    deadline = time.monotonic() + SOCKET_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def import_pause_image(spec: dict[str, Any]) -> None:
    run("ctr", "--namespace", "k8s.io", "images", "import", spec["pause_archive"])


def spawn(name: str, spec: dict[str, Any]) -> int:
    """Start a program of the node, with its output appended to its log."""
    log(f"starting {name}")
    with Path(spec["logs"], f"{spec['name']}-{name}.log").open("ab") as output:
        process = subprocess.Popen(
            spec["commands"][name], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    process.returncode = 0  # reaped by keep_running(), not by Popen
    return process.pid


def keep_running(running: dict[int, str], spec: dict[str, Any]) -> None:
    """Reap every child, and restart the node's programs. Never returns."""
    while True:
        pid, status = os.waitpid(-1, 0)
        name = running.pop(pid, None)
        if name is not None:
            log(f"{name} ended with status {status}")
            time.sleep(RESTART_SECONDS)
            running[spawn(name, spec)] = name


def be_node(spec: dict[str, Any]) -> None:
    """Run as the node's PID 1. Never returns."""
    socket.sethostname(spec["name"])
    mount_file_systems(spec)
    set_up_network(spec)
    first, *others = spec["commands"]
    running = {spawn(first, spec): first}
    wait_for_socket(spec["runtime_socket"])
    import_pause_image(spec)
    for name in others:
        running[spawn(name, spec)] = name
    keep_running(running, spec)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    child = os.fork()
    if child:
        print(child, flush=True)
        return
    connected = sys.stdin.readline()
    os.dup2(2, 1)
    if connected:
        be_node(spec)


if __name__ == "__main__":
    main()

"""The process that listens on a launcher's socket, its network namespace and its file system.

Called by connection.py. The kernel identifies the listener (SO_PEERCRED). Its cgroups, which an unprivileged pod cannot
choose, show whether it is in the pod. All files are read through one descriptor of /proc/PID, which always refers to
the same process, even if the PID is reused. Needs the node's PID namespace (hostPID).
"""

from __future__ import annotations

import os
import re
import socket
import struct

_LIMIT = 64 * 1024  # bytes of /proc/PID/cgroup; real ones have hundreds
_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)


class NotThePod(Exception):
    """The listener on the pod's socket is not a process of that pod: never connect to it."""


def connect(socket_fd: int) -> socket.socket:
    """A non-blocking connection to the socket of an O_PATH descriptor.

    Raises:
        OSError: nobody listens. BlockingIOError: the listener's backlog is full.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.setblocking(False)
        connection.connect(f"/proc/self/fd/{socket_fd}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_namespaces(socket_fd: int, pod_uid: str) -> tuple[int, int]:
    """Descriptors of the network namespace and of the root folder of the process that listens on the socket.

    Raises:
        NotThePod: the process is not in the pod, or shares the node's network.
        OSError: nobody listens, or the process has just ended.
    """
    with connect(socket_fd) as connection:
        pid, _, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if pid <= 0:
        raise NotThePod("the listener is in a PID namespace that this process does not see (hostPID is needed)")
    process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not names_pod(_read(process, "cgroup"), pod_uid):
            raise NotThePod(f"process {pid} is in no cgroup of pod {pod_uid}")
        namespace = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
        try:
            if os.path.sameopenfile(namespace, _node_namespace()):
                raise NotThePod(f"pod {pod_uid} shares the node's network, which is never changed for a guest")
            return namespace, os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
        except BaseException:
            os.close(namespace)
            raise
    finally:
        os.close(process)


def names_pod(cgroups: str, pod_uid: str) -> bool:
    """Whether /proc/PID/cgroup is below the pod's cgroup, in the notation of the cgroupfs or the systemd driver."""
    pattern = rf"(?:^|[/-])pod(?:{re.escape(pod_uid)}|{re.escape(pod_uid.replace('-', '_'))})(?:\.slice)?(?:/|$)"
    return any(re.search(pattern, line) for line in cgroups.splitlines())


_node: list[int] = []


def _node_namespace() -> int:
    if not _node:
        _node.append(os.open("/proc/1/ns/net", os.O_RDONLY | os.O_CLOEXEC))
    return _node[0]


def _read(folder: int, name: str) -> str:
    entry = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(entry, _LIMIT).decode(errors="replace")
    finally:
        os.close(entry)

"""Connections between network namespaces, by processes in them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_SERVER = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
s.settimeout(120)
print("listening", flush=True)
c, peer = s.accept()
print(peer[0], flush=True)
for line in c.makefile():
    c.sendall(line.encode())
"""
_CLIENT = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=60, source_address=(sys.argv[1], 0))
    answers = s.makefile()
    for line in sys.stdin:
        s.sendall(line.encode())
        print(answers.readline(), end="", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@contextmanager
def running(namespace: str, script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python script in the namespace."""
    command = ["ip", "netns", "exec", namespace, "python3", "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening(namespace: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A server for one connection, which writes the client's address and repeats the client's lines."""
    with running(namespace, _SERVER, str(port)) as server:
        assert line(server) == "listening"
        yield server


@contextmanager
def calling(namespace: str, source: str, address: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """A client of a server at `address`."""
    with running(namespace, _CLIENT, source, address, str(port)) as client:
        yield client


@contextmanager
def connected(
    server: str, client: str, source: str, port: int, *, address: str = "10.99.0.2", seen_as: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A connection from `source` to `address` that reaches `server`, which sees it from `seen_as`."""
    with listening(server, port) as listener, calling(client, source, address, port) as caller:
        assert line(listener) == (seen_as or source)
        yield caller


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the process writes."""
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def say(client: subprocess.Popen[str]) -> str:
    """What the server answers to "hello": the same, or the name of the client's error."""
    assert client.stdin is not None
    client.stdin.write("hello\n")
    client.stdin.flush()
    return line(client)

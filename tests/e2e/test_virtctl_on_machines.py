"""KubeVirt's own virtctl, unmodified, on a VirtualMachine: every line of docs/clients.md has its outcome."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from localcluster import clients
from localcluster.settings import Cluster

from tests.e2e.cluster import ROOT, apply, get, kubectl, until
from tests.e2e.guests import Guest
from tests.e2e.virtual_machines import existing, has, request, status, vm_manifest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.parallel

NAME = "virtctl-vm"
REPLICAS = "virtctl-replicas"
CLAIM = "virtctl-claim"
TICK = rb"tick .*boot="  # of the guest's service on port 7777, tests/guest-image


@dataclass(frozen=True, slots=True)
class Line:
    """A command and its outcome. `words` is "" for one that works."""

    command: str
    words: str

    @property
    def arguments(self) -> list[str]:
        """Of virtctl, with the names of this test's objects."""
        text = self.command.replace("my-vm.yaml", "MANIFEST").replace("my-vm", NAME).replace("MANIFEST", "my-vm.yaml")
        return shlex.split(text.replace("my-replicas", REPLICAS).replace("my-claim", CLAIM))[1:]


def lines(section: str) -> list[Line]:
    """Of the table below a heading of the page."""
    text = (ROOT / "docs" / "clients.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(virtctl [^`]*)` \| (works|refused: `([^`]+)`)", text, re.MULTILINE)
    assert len(rows) == text.count("| `virtctl ") > 0, f"the page has other lines below {section}"
    return [Line(command, words) for command, _, words in rows]


LIFE = lines("The life of a VirtualMachine")
ACCESS = lines("Access to a guest")
OTHERS = [*lines("Volumes and memory"), *lines("The cluster, and what is printed")]
CREATE = lines("virtctl create")
SLOW = pytest.mark.slow  # minutes in all, and most of it is another test's as well
STOPPED = ("start", "credentials")
"""Commands for which the machine is stopped before."""

BECOMES = {"pause": "Paused", "unpause": "Running"}
"""The state after a command that works."""

STREAMS = {"console": rb"Successfully connected", "vnc": rb'"port"', "ssh": TICK, "scp": TICK}
"""What commands print that do not end by themselves."""

TO_TICKS = ("--port=7777", "--known-hosts=", "--local-ssh-opts=-v", "--local-ssh-opts=-oBatchMode=yes")
"""The guest has no sshd: ssh prints what comes out of the tunnel instead of an sshd's greeting."""


@pytest.fixture(scope="module")
def virtctl() -> Path:
    """The program."""
    return clients.ensure(clients.VIRTCTL, Cluster.load())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files that commands name."""
    path = tmp_path_factory.mktemp("files")
    (path / "password.txt").write_text("none\n")
    (path / "image.qcow2").write_bytes(b"QFI\xfb" + bytes(508))
    (path / "my-vm.yaml").write_text(yaml.safe_dump(vm_manifest(NAME)))
    return path


@pytest.fixture(scope="module")
def claim(suite: None) -> Iterator[None]:
    """One that nobody uses and nothing is bound to."""
    storage = {"storageClassName": "none-has-this", "resources": {"requests": {"storage": "1Gi"}}}
    spec = {"accessModes": ["ReadWriteOnce"], **storage}
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec})
    yield
    kubectl("delete", "pvc", CLAIM, "--wait=false")


@pytest.fixture(scope="module")
def machine(claim: None) -> Iterator[str]:
    """A machine, and a set of none. What commands make for them is deleted afterwards."""
    template = vm_manifest(NAME)["spec"]["template"]
    replicas = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceReplicaSet",
        "metadata": {"name": REPLICAS},
        "spec": {"replicas": 0, "selector": {"matchLabels": template["metadata"]["labels"]}, "template": template},
    }
    with existing(vm_manifest(NAME)) as name:
        apply(replicas)
        try:
            yield name
        finally:
            services = [f"service/{of}-service" for of in (NAME, f"{NAME}i", REPLICAS)]
            secrets = [secret for secret in kubectl("get", "secrets", "-o", "name").split() if f"/{NAME}" in secret]
            kubectl("delete", f"vmirs/{REPLICAS}", *services, *secrets, "--ignore-not-found", "--wait=false")


def bring(name: str, state: str) -> None:
    """Into the state, whatever state it is in."""

    def settled() -> bool:
        body = get("vm", name)
        status = body.get("status", {})  # a new one has none yet
        reported = status.get("printableStatus")
        is_halted = body["spec"]["runStrategy"] == "Halted"  # the machine's own is Always
        under_way = status.get("stateChangeRequests") or is_halted != (reported == "Stopped")
        return not under_way and reported in ("Stopped", "Running", "Paused")

    until(settled, "no change to be under way", PATIENCE)
    now = status(name)["printableStatus"]
    if now != state:
        if state == "Stopped":
            request(name, "stop", gracePeriod=0)
        elif now == "Stopped":
            request(name, "start", paused=state == "Paused")
        else:
            Guest(name).command("pause" if state == "Paused" else "unpause")
        has(name, state)
        until(settled, "no change to be under way", PATIENCE)
    if state == "Stopped":  # a finished VMI may still be there, and virtctl calls its machine running
        until(lambda: kubectl("get", "vmi", name, "--ignore-not-found") == "", "the VMI to be gone", PATIENCE)


@pytest.mark.parametrize(
    "line",
    [*LIFE, *OTHERS, *(pytest.param(line, marks=SLOW) for line in ACCESS)],
    ids=lambda line: line.command,
)
def test_a_command_on_a_machine_has_the_outcome_on_the_page(
    virtctl: Path, folder: Path, machine: str, line: Line
) -> None:
    arguments = line.arguments
    bring(machine, "Stopped" if arguments[0] in STOPPED else "Paused" if arguments[0] == "unpause" else "Running")
    if arguments[0] in ("ssh", "scp"):
        arguments += TO_TICKS
    if arguments[0] == "port-forward" and "--stdio" not in arguments:
        forwards(virtctl, folder, line)
        return
    pattern = TICK if arguments[0] == "port-forward" else STREAMS.get(arguments[0])
    if pattern and "screenshot" not in arguments:
        prints(virtctl, folder, arguments, pattern)
        return
    done = subprocess.run(
        [virtctl, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    shown = done.stdout + done.stderr
    assert (line.words in shown) and bool(line.words) == (done.returncode != 0), shown
    if not line.words and arguments[0] in BECOMES:  # the status follows the answer
        has(machine, BECOMES[arguments[0]])


@contextmanager
def started(virtctl: Path, folder: Path, arguments: list[str]) -> Iterator[Callable[[], bytes]]:
    """While the command runs; the value is called to learn what it has printed so far."""
    log = folder / "output"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [virtctl, *arguments], cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield log.read_bytes
        finally:
            process.kill()
            print(log.read_bytes().decode(errors="replace"))


def prints(virtctl: Path, folder: Path, arguments: list[str], pattern: bytes) -> None:
    with started(virtctl, folder, arguments) as printed:
        until(lambda: re.search(pattern, printed()) is not None, "the command's output", PATIENCE)


def forwards(virtctl: Path, folder: Path, line: Line) -> None:
    """The local port leads to the guest's ticks, or to the refusal."""
    port = int(re.findall(r"\d{5}", line.command)[0])
    with started(virtctl, folder, line.arguments) as printed:
        if line.words:
            until(lambda: str(port).encode() in printed(), "virtctl to listen", PATIENCE)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", port))
            until(lambda: line.words.encode() in printed(), "the refusal", PATIENCE)
        else:
            until(lambda: re.search(TICK, first_bytes(port)) is not None, "a tick", PATIENCE)


def first_bytes(port: int) -> bytes:
    """What is sent first on a port of this machine, b"" while nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            return connection.recv(4096)
    except OSError:
        return b""


@pytest.mark.parametrize("line", CREATE, ids=lambda line: line.command)
def test_what_create_prints_is_accepted_or_refused_by_name(
    virtctl: Path, folder: Path, suite: None, line: Line
) -> None:
    printed = subprocess.run(
        [virtctl, *line.arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert printed.returncode == 0, printed.stderr
    applied = subprocess.run(
        ["kubectl", "apply", "--dry-run=server", "-f", "-"],
        input=printed.stdout,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    shown = f"{applied.stdout}{applied.stderr}\n{printed.stdout}"
    assert (line.words in applied.stderr) and bool(line.words) == (applied.returncode != 0), shown

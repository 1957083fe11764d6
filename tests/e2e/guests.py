"""VirtualMachineInstances for end-to-end tests, and the pod that observes their ticks from outside."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import ROOT, apply, condition_of, get, kubectl, on_this_machine, process, remove, until, wait
from tests.support.patience import PATIENCE
from tests.support.processor_waits import ProcessorWaits, sampled

TICK_PORT = 7777  # tests/guest-image
OBSERVER = Path(__file__).with_name("observer.py")
EXAMPLE = Path(__file__).with_name("demo-vmi.yaml")
MAX_GAP = 2.0  # seconds between two ticks, which come every 0.2 s


def image(name: str) -> str:
    """An image of this build."""
    tag = (ROOT / "build" / "tag").read_text().strip()  # what `make install` installed
    return f"{os.environ['REGISTRY']}/{name}:{tag}"


def manifest(name: str, *, node: str = "", memory: str = "128Mi") -> dict[str, Any]:
    """The README's example under another name: a small guest that boots the demo kernel, silent on its console."""
    text = EXAMPLE.read_text().replace("${REGISTRY}/guest-demo:${TAG}", image("guest-demo"))
    body: dict[str, Any] = yaml.safe_load(text)
    body["metadata"]["name"] = name
    body["spec"]["domain"]["memory"]["guest"] = memory
    body["spec"]["domain"]["firmware"]["kernelBoot"]["kernelArgs"] += " ticks=off"
    if node:
        body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    return body


def disk_manifest(name: str, volumes: dict[str, dict[str, Any]], *, node: str = "") -> dict[str, Any]:
    """A small guest with disks, each with its name as serial. `volumes`: by name the volume's source, and the device in
    "disk" or "cdrom" (default: a disk on virtio) and what else the disk says in "device".
    """
    body = manifest(name, node=node)
    spec = body["spec"]
    spec["volumes"], spec["domain"]["devices"]["disks"] = [], []
    for volume, definition in volumes.items():
        source = dict(definition)
        target = {kind: source.pop(kind) for kind in ("disk", "cdrom") if kind in source} or {"disk": {"bus": "virtio"}}
        device = {"name": volume, "serial": volume, **target, **source.pop("device", {})}
        spec["domain"]["devices"]["disks"].append(device)
        spec["volumes"].append({"name": volume, **source})
    return body


def booting_from_disk(body: dict[str, Any]) -> dict[str, Any]:
    """The same guest without a kernel beside it: its disks boot it."""
    del body["spec"]["domain"]["firmware"]["kernelBoot"]
    return body


def logged(body: dict[str, Any]) -> dict[str, Any]:
    """The same guest, its serial console copied to a log."""
    body["spec"]["domain"]["devices"]["logSerialConsole"] = True
    return body


@dataclass(frozen=True, slots=True)
class Guest:
    """A running VirtualMachineInstance."""

    name: str

    @property
    def vmi(self) -> Any:
        """The object now."""
        return get("vmi", self.name)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its events; those of an earlier guest of the same name, which stay for an hour, are not among them."""
        return events_of(self.vmi["metadata"]["uid"])

    @property
    def phase(self) -> str:
        """Its phase now."""
        return str(self.vmi["status"]["phase"])

    @property
    def pod(self) -> Any:
        """Its launcher pod; one that it has left by a migration may have ended beside it."""
        pods = get("pods", "-l", f"kubevirt.io/created-by={self.vmi['metadata']['uid']}")["items"]
        living = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")] or pods
        assert len(living) == 1, [pod["metadata"]["name"] for pod in pods]
        return living[0]

    @property
    def address(self) -> str:
        """The address at which pods reach the guest. It may run before the kubelet reports the address."""
        until(lambda: "podIP" in self.pod["status"], "the kubelet to report the pod's address")
        return str(self.pod["status"]["podIP"])

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition now; empty: there is none."""
        return condition_of(self.vmi, kind)

    @property
    def paused(self) -> bool:
        """Whether the condition Paused is true, by a user or an error."""
        return self.condition("Paused").get("status") == "True"

    def path(self, subresource: str, version: str = "v1") -> str:
        """Of one of its subresources."""
        group = f"/apis/subresources.kubevirt.io/{version}"
        return f"{group}/namespaces/default/virtualmachineinstances/{self.name}/{subresource}"

    def command(self, verb: str, body: str = "", version: str = "v1") -> str:
        """Send pause, reset or another command; returns the response."""
        return kubectl("replace", "--raw", self.path(verb, version), "-f", "-", stdin=body)

    def question(self, subresource: str) -> str:
        """Read guestosinfo or another query; returns the response."""
        return kubectl("get", "--raw", self.path(subresource))

    def picture(self) -> bytes:
        """Of its display."""
        argv = ["kubectl", "get", "--raw", self.path("vnc/screenshot")]
        done = subprocess.run(argv, capture_output=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def qemu_pid(self) -> int:
        """QEMU's PID on this machine."""
        found = process(self.pod["metadata"]["uid"], r"^\S*qemu-system")
        assert found is not None, f"no QEMU of {self.name} runs: {self.vmi['status']}"
        return found.pid


def events_of(uid: str) -> list[dict[str, Any]]:
    """The events of one object, also when it is gone."""
    found: list[dict[str, Any]] = get("events", "--field-selector", f"involvedObject.uid={uid}")["items"]
    return found


def await_events(uid: str, expected: Callable[[list[str]], bool]) -> list[str]:
    """The reasons of the object's events, as soon as they are as expected: an event is written after the status that
    it belongs to. Of those that come later nothing is known."""
    found: list[str] = []

    def complete() -> bool:
        found[:] = [event["reason"] for event in events_of(uid)]
        return expected(found)

    try:
        until(complete, "the object's events")
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from None
    return found


@contextmanager
def created(*manifests: dict[str, Any]) -> Iterator[list[Guest]]:
    """Create objects without waiting for their state; delete them afterwards and wait until they are gone."""
    names = [body["metadata"]["name"] for body in manifests]
    apply(*manifests)
    try:
        yield [Guest(name) for name in names]
    finally:
        remove("vmi", *names)


@contextmanager
def running(*manifests: dict[str, Any], seconds: float = PATIENCE) -> Iterator[list[Guest]]:
    """Create, wait until Running for `seconds` each, delete afterwards and wait until gone."""
    with created(*manifests) as guests:
        for guest in guests:
            wait("vmi", guest.name, "jsonpath={.status.phase}=Running", seconds=seconds)
        yield guests


@dataclass(frozen=True, slots=True)
class Ticks:
    """What was seen of one guest."""

    boots: frozenset[str]
    count: int
    longest_gap: float
    """Seconds between two ticks."""

    longest_silence: float
    """The same without the seconds in which its QEMU waited for a processor of this machine."""

    connections: int

    def __str__(self) -> str:
        gaps = f"longest gap {self.longest_gap:.2f} s, {self.longest_silence:.2f} s without waits for a processor"
        return f"{self.count} ticks, {len(self.boots)} boot id, {gaps}"


@contextmanager
def observed(*guests: Guest, name: str = "") -> Iterator[Callable[[], dict[str, Ticks]]]:
    """Watch guests tick from a pod of its own; the value is called to learn what was seen so far."""
    name = name or f"observer-of-{guests[0].name}"
    targets = [f"{guest.name}={guest.address}" for guest in guests]
    container = {
        "name": "observer",
        "image": image("virt-controller"),
        "command": ["/opt/kubevirt/bin/python", "-c", OBSERVER.read_text(), *targets],
    }
    sysctl = {"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],  # a node is not ready for a while after the API server has died
            "securityContext": {"sysctls": [sysctl]},
        },
    }
    apply(body)
    try:
        wait("pod", name, "condition=Ready")
        pids = _pids(name, guests) if on_this_machine() else {}
        with sampled(pids.values()) as waits:
            seen = partial(_read, name, guests, pids, waits)
            until(lambda: all(ticks.count > 0 for ticks in seen().values()), "the first tick of each guest")
            yield seen
    finally:
        remove("pod", name)


def _pids(observer: str, guests: tuple[Guest, ...]) -> dict[str, int]:
    """Of the guests' QEMUs by name, and of the observer, ""."""
    uid = get("pod", observer)["metadata"]["uid"]
    # A container without a probe is ready when runc has been told to start it, and may be `runc init` still.
    until(lambda: process(uid, "python") is not None, "the observer to run its program")
    found = process(uid, "python")
    assert found is not None, "the observer's program has ended"
    return {"": found.pid, **{guest.name: guest.qemu_pid() for guest in guests}}


def _read(observer: str, guests: tuple[Guest, ...], pids: dict[str, int], waits: ProcessorWaits) -> dict[str, Ticks]:
    lines = [line.split(" ", 2) for line in kubectl("logs", observer).splitlines()]
    result = {}
    for guest in guests:
        mine = [(float(line[0]), line[2]) for line in lines if len(line) == 3 and line[1] == guest.name]
        ticks = [(moment, text) for moment, text in mine if text.startswith("tick ")]
        gaps = list(pairwise(moment for moment, _ in ticks))
        waiting = [pids[name] for name in ("", guest.name) if name in pids]
        longest = max((end - start for start, end in gaps), default=0.0)
        silence = max((end - start - waits.between(waiting, start, end) for start, end in gaps), default=0.0)
        boots = frozenset(match.group(1) for _, text in ticks if (match := re.search(r"boot=(\S+)", text)))
        connected = sum(text == "connected" for _, text in mine)
        result[guest.name] = Ticks(boots, len(ticks), longest, silence, connected)
    return result


def undisturbed(seen: dict[str, Ticks], guests: list[Guest], pids: dict[str, int], max_gap: float = MAX_GAP) -> None:
    """Every guest ran all the time, in the same QEMU."""
    for guest in guests:
        print(f"{guest.name}: {seen[guest.name]}", flush=True)
    for guest in guests:
        tick = seen[guest.name]
        assert guest.phase == "Running"
        assert guest.qemu_pid() == pids[guest.name]
        assert (len(tick.boots), tick.connections) == (1, 1)
        assert tick.longest_silence < max_gap

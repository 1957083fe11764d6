"""`make demo`: from nothing to a VirtualMachine that serves a page by its user data, is restarted, and runs on while
each component is killed; each stage with the seconds it took. Leaves the cluster and the VirtualMachine behind.

test_demo.py runs the stages of the VirtualMachine on the cluster of the other tests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localcluster.console import Console

from tests.e2e.cluster import NAMESPACE, ROOT, get, kubectl, until, wait
from tests.e2e.guests import Guest, observed
from tests.e2e.killing import COMPONENTS, are_replaced, victims
from tests.support.patience import PATIENCE

NAME = "demo"
MANIFEST = Path(__file__).with_name("demo-vm.yaml")
PAGE = f"/api/v1/namespaces/default/services/{NAME}:80/proxy/"
RESTART = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{NAME}/restart"
PROMPT = b"login: ready # "
CURSOR = b"\x1b[6n"  # busybox asks the terminal where its cursor is
RESTART_SECONDS = 2 * PATIENCE


def main() -> None:
    """Run every stage, then print the times and what to try next."""
    guest = Guest(NAME)
    times: list[tuple[str, float]] = []
    gaps: list[str] = []
    stages: tuple[tuple[str, Callable[[], None]], ...] = (
        ("a real Kubernetes of two nodes", lambda: make("cluster-up")),
        ("images", lambda: make("images")),
        ("the suite, to Available", lambda: make("install")),
        ("a VirtualMachine, to Running", start),
        ("its console, to the login", lambda: asyncio.run(login())),
        ("the page of its user data, through a Service", fetch),
        ("a restart, to the page", lambda: restart(guest)),
        ("kill -9 of each component, the guest runs on", lambda: gaps.extend(kill(guest))),
    )
    for title, work in stages:
        print(f"\n== {title}", flush=True)
        began = time.monotonic()
        work()
        times.append((title, time.monotonic() - began))
    print("\n== times")
    for title, seconds in times:
        print(f"{title:46} {seconds:6.1f} s")
    print("\n".join(gaps))
    print(NEXT_STEPS.format(kubeconfig=os.environ["KUBECONFIG"], bin=ROOT / "build" / "cluster" / "bin"))


NEXT_STEPS = """
The VirtualMachine runs on. Next:
  export KUBECONFIG={kubeconfig} PATH=$PATH:{bin}
  kubectl get vm,vmi
  make virtctl                    # KubeVirt's own client, built from its Go module
  virtctl console demo
  virtctl restart demo
  kubectl get --raw /api/v1/namespaces/default/services/demo:80/proxy/
  make cluster-down"""


def make(target: str) -> None:
    """A target of the Makefile, with its progress on the terminal."""
    subprocess.run(["make", "-s", target], cwd=ROOT, check=True)


def start() -> None:
    """Create the VirtualMachine and its Service, as a user does."""
    tag = (ROOT / "build" / "tag").read_text().strip()
    text = MANIFEST.read_text().replace("${REGISTRY}", os.environ["REGISTRY"]).replace("${TAG}", tag)
    print(kubectl("apply", "-f", "-", stdin=text), end="")
    wait("vm", NAME, "jsonpath={.status.printableStatus}=Running")
    print(kubectl("get", "vm,vmi"), end="")


async def login() -> None:
    """Show the serial console until the guest is at its prompt."""
    async with Console.open(Path(os.environ["KUBECONFIG"]), "default", NAME) as console:
        await console.send(b"\n")
        await console.read_until(PROMPT, PATIENCE)
        shown = bytes(console.seen).replace(CURSOR, b"").decode(errors="replace")
        sys.stdout.write(shown.replace("\r\n", "\n") + "\n")


def fetch() -> None:
    """Print the page that the guest serves, as its user data says."""
    until(lambda: "Hello" in page(), "the guest's page", RESTART_SECONDS)
    print(page(), end="")


def page() -> str:
    """The guest's page, empty while there is none."""
    return kubectl("get", "--raw", PAGE, check=False)


def restart(guest: Guest) -> None:
    """What `virtctl restart` does; the page is another boot's."""
    before, uid = page(), guest.vmi["metadata"]["uid"]
    kubectl("replace", "--raw", RESTART, "-f", "-", stdin="{}")
    until(lambda: is_restarted(uid), "the VirtualMachine to be restarted", RESTART_SECONDS)
    until(lambda: "Hello" in page() and page() != before, "the page of another boot", RESTART_SECONDS)
    print(page(), end="")


def is_restarted(uid: str) -> bool:
    """Whether another VirtualMachineInstance than that of `uid` runs."""
    running = [vmi for vmi in get("vmi")["items"] if vmi["metadata"]["name"] == NAME]
    return any(vmi["metadata"]["uid"] != uid and vmi["status"].get("phase") == "Running" for vmi in running)


def kill(guest: Guest) -> list[str]:
    """Kill each component and see it back; returns the guest's longest gap between two ticks for each kill."""
    lines = []
    with observed(guest) as ticks:
        for name in ("launcher", "libvirtd", *COMPONENTS):
            for victim in (killed := victims(name, [guest])):
                victim.kill()
            pids = {victim.pid for victim in killed}
            back = until(lambda name=name, pids=pids: are_replaced(name, [guest], pids), f"{name} to be back", 400)  # type: ignore[misc]
            print(f"{name:16} killed, back after {back:4.1f} s", flush=True)
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=2 * PATIENCE)
        seen = ticks()[NAME]
        lines.append(
            f"{seen.count} ticks, one each 0.2 s, of {len(seen.boots)} boot; longest gap {seen.longest_gap:.2f} s"
        )
    return lines


if __name__ == "__main__":
    main()

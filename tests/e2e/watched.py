"""A VirtualMachine of which Prometheus sees everything, and what is asked about it. For test_prometheus.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.claims import shared_claim
from tests.e2e.cluster import apply, until
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import Guest, image
from tests.e2e.migrations import ended, migratable, migration, policy
from tests.e2e.virtual_machines import existing, has, vm_of
from tests.support.prometheus import Prometheus

NAME = "watched"
SELECTED = f'{{namespace="default", name="{NAME}"}}'


@contextmanager
def watched() -> Iterator[Guest]:
    """Its guest runs and can migrate."""
    body = migratable(NAME)
    body["spec"]["domain"]["firmware"]["kernelBoot"]["container"]["initrdPath"] = "/boot/initrd-with-agent"
    body["spec"]["domain"]["devices"]["disks"] = [
        {"name": name, "disk": {"bus": "virtio"}} for name in ("seed", "root", "data")
    ]
    body["spec"]["volumes"] = [
        {"name": "seed", "cloudInitNoCloud": {"userData": "#cloud-config\n"}},
        {"name": "root", "containerDisk": {"image": image("guest-disk")}},
        {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
    ]
    body["spec"]["domain"]["resources"] = {"limits": {"cpu": "1", "memory": "512Mi"}}
    with shared_claim(NAME), existing(vm_of(body)):
        has(NAME, "Running", 120)
        yield Guest(NAME)


def expect(prometheus: Prometheus, expression: str, is_right: Callable[[float], bool], seconds: float = 60) -> float:
    """The value, as soon as it is right."""
    found = [-1.0]

    def right() -> bool:
        found[0] = prometheus.value(expression)
        return is_right(found[0])

    try:
        until(right, expression, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: it is {found[0]}") from None
    return found[0]


def is_one(value: float) -> bool:
    return value == 1


def is_zero(value: float) -> bool:
    return value == 0


def is_something(value: float) -> bool:
    return value > 0


def status(word: str) -> str:
    """1 while the VirtualMachine is in it."""
    return f'kubevirt_vm_info{{namespace="default", name="{NAME}", status="{word}"}}'


def transition(group: str) -> str:
    """When it came into a group of states; 0 if it is in another."""
    return f"kubevirt_vm_{group}_status_last_transition_timestamp_seconds{SELECTED}"


async def agent_started(shell: Shell) -> None:
    """The guest tells of its only file system, the seed's, and of its network card."""
    await shell.run("mkdir -p /mnt; mount -t iso9660 /dev/vda /mnt")
    await shell.type("/agent/start >/tmp/agent.log 2>&1 &")


def migration_fails(prometheus: Prometheus) -> None:
    """It would take longer than it may."""
    name = "watched-in-vain"
    with policy(NAME, bandwidthPerMigration="1Mi", completionTimeoutPerGiB=1):
        apply(migration(name, NAME))
        assert ended(name, 120)["phase"] == "Failed"
    expect(prometheus, f'kubevirt_vmi_migration_failed{{vmim="{name}"}}', is_one)


def migrates(prometheus: Prometheus, guest: Guest) -> None:
    """Slowly, so that Prometheus sees it."""
    source, name = guest.vmi["status"]["nodeName"], "watched-slowly"
    copied = f'kubevirt_vmi_migration_data_processed_bytes{{name="{NAME}", node="{source}"}}'
    with policy(NAME, bandwidthPerMigration="4Mi", completionTimeoutPerGiB=3000):
        apply(migration(name, NAME))
        expect(prometheus, "kubevirt_vmi_migrations_in_running_phase", is_one)
        expect(prometheus, status("migrating"), is_one)
        first = expect(prometheus, copied, is_something)
        expect(prometheus, copied, lambda size: size > first)
        assert ended(name, 240)["phase"] == "Succeeded"
    expect(prometheus, f'kubevirt_vmi_migration_succeeded{{vmim="{name}"}}', is_one)
    expect(prometheus, "kubevirt_vmi_migrations_in_running_phase", is_zero)
    target = guest.vmi["status"]["nodeName"]
    assert target != source
    there = f'name="{NAME}", node="{target}"'
    expect(prometheus, f'kubevirt_vmi_info{{{there}, phase="running"}}', is_one)
    expect(prometheus, f"kubevirt_vmi_cpu_usage_seconds_total{{{there}}}", is_something)

"""virt-controller dies, or leads twice, while VirtualMachines go through their lives: no guest is started twice, and
nothing that the run strategy wants is forgotten. `make test-all` and `make chaos`: unit tests kill it after each write.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.e2e.audit import requests
from tests.e2e.cluster import NAMESPACE, kubectl, wait
from tests.e2e.controller_faults import Faults
from tests.e2e.vm_fleet import Fleet
from tests.e2e.vm_lives import Life

_AT_REST = 10.0  # seconds in which a start that nobody wants would show


async def lives_with_faults(namespace: str, vms: int, faults: int, longest_pause: float) -> None:
    """`vms` live until `faults` have happened; then each is what its strategy wants and was started as often."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    began, moment = datetime.now(UTC), time.monotonic()
    async with Fleet.in_namespace(namespace) as fleet:
        lives = [Life.of(fleet, number, seed) for number in range(vms)]
        troubles = Faults(fleet.client, random.Random(seed))
        async with asyncio.TaskGroup() as group:
            happening = group.create_task(troubles.happen(faults, longest_pause), name="faults")
            for life in lives:
                group.create_task(life.lead(lambda: not happening.done()), name=life.name)
        await asyncio.sleep(_AT_REST)
        for life in lives:
            life.check()
        steps = Counter(step for life in lives for step in life.steps)
        seen = {life.name: life.state.starts for life in lives}
    print(f"{vms} VirtualMachines, {sum(seen.values())} starts in {time.monotonic() - moment:.0f} s")
    print("  steps: " + ", ".join(f"{count} × {step}" for step, count in steps.most_common()))
    print("  faults: " + ", ".join(f"{count} × {kind}" for kind, count in troubles.happened.items()))
    answered, unknown = starts_in_audit_log(namespace, began)
    print(f"  creations: {answered.total()} answered, {unknown.total()} whose caller was killed before the answer")
    for name, count in seen.items():
        assert answered[name] <= count <= answered[name] + unknown[name], name


def starts_in_audit_log(namespace: str, since: datetime) -> tuple[Counter[str], Counter[str]]:
    """VirtualMachineInstances that virt-controller has created, by name; and those that may have been created.

    If the caller dies before the answer, the API server logs 504 (context canceled), whether etcd has stored the object
    or not.
    """
    created = [
        request
        for request in requests(since)
        if (request.namespace, request.verb, request.resource) == (namespace, "create", "virtualmachineinstances")
    ]
    assert {request.account for request in created} <= {"kubevirt-controller"}
    counts = [Counter(request.name for request in created if request.code == code) for code in (201, 504)]
    return counts[0], counts[1]


def suite_is_well() -> None:
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/virt-controller", "--timeout=300s", deadline=320)
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=180)


@pytest.mark.slow
async def test_five_vms_come_to_what_they_want_though_their_controller_dies_three_times() -> None:
    await lives_with_faults("vm-kills", vms=5, faults=3, longest_pause=3.0)
    await asyncio.to_thread(suite_is_well)


@pytest.mark.chaos
async def test_twenty_vms_come_to_what_they_want_though_their_controller_dies_fifty_times() -> None:
    await lives_with_faults("vm-many-kills", vms=20, faults=50, longest_pause=4.0)
    await asyncio.to_thread(suite_is_well)

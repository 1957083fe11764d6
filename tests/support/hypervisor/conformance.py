"""What FakeHypervisor and libvirt with QEMU must agree on, as far as the launcher relies on it.

Each function of CHECKS takes a Pod without a domain and raises AssertionError. Run against FakeHypervisor with the unit
tests and against a session libvirtd in the launcher's image with the integration tests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from virt_launcher.domain import guest, guest_agent
from virt_launcher.domain.host import Host
from virt_launcher.domain.names import domain_name
from virt_launcher.domain.observation import DomainPhase, Observation, ShutoffReason
from virt_launcher.errors import AgentUnavailable, HypervisorRefused, HypervisorUnavailable

from tests.support.patience import PATIENCE

_CALL = PATIENCE

STANDING, RUNNING = Observation(DomainPhase.STANDING), Observation(DomainPhase.RUNNING)


class Pod(Protocol):
    """A pod without a launcher: libvirtd, and whatever can happen to it and to QEMU."""

    @property
    def host(self) -> Host: ...

    def xml(self, machine_type: str = "q35", name: str = "default_demo") -> str:
        """A domain without disks that is defined and started as it is."""
        ...

    async def kill_qemu(self) -> None: ...

    async def end_qemu(self) -> None:
        """QEMU ends as after a shutdown of its guest."""
        ...

    async def restart_libvirtd(self) -> None: ...

    async def suspend_libvirtd(self) -> None:
        """libvirtd no longer answers, and its connections stay open."""
        ...

    async def resume_libvirtd(self) -> None: ...


Check = Callable[[Pod], Awaitable[None]]


async def _do(pod: Pod, function: Callable[..., Any], *arguments: object) -> Any:
    return await pod.host.call(function, *arguments, timeout=_CALL)


async def _refused(pod: Pod, function: Callable[..., Any], *arguments: object) -> None:
    with pytest.raises(HypervisorRefused):
        await _do(pod, function, *arguments)


async def _until_seen(pod: Pod, expected: Observation) -> None:
    """Look again after each event, as the launcher does."""
    changed = asyncio.Event()
    pod.host.subscribe(changed.set)
    seen: list[object] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while seen[-1:] != [expected]:
                await changed.wait()
                changed.clear()
                seen.append(await _look(pod))
    except TimeoutError:
        pytest.fail(f"expected {expected} within {PATIENCE} s, seen after each event: {seen}")


async def _look(pod: Pod) -> Observation | str:
    if not pod.host.connected:
        return "not connected"
    try:
        seen: Observation = await _do(pod, guest.observe)
    except HypervisorUnavailable as error:  # a connection may break before that is known: its event is the next one
        return str(error)
    return seen


async def no_domain_is_absent_and_nothing_can_be_done_to_it(pod: Pod) -> None:
    assert await _do(pod, guest.observe) == Observation(DomainPhase.ABSENT)
    for function in (guest.start_cpus, guest.stop_cpus, guest.reset, guest.press_power_button, guest.destroy):
        await _refused(pod, function)
    await _refused(pod, guest.machine_type)
    assert await _do(pod, guest_agent.is_connected) is False


async def a_new_domain_waits_for_its_cpus_and_is_not_created_twice(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.observe) == STANDING
    await _refused(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.observe) == STANDING


async def a_domain_without_a_description_was_not_handed_over(pod: Pod) -> None:
    assert await _do(pod, guest.observe_incoming) == Observation(DomainPhase.ABSENT)
    await _do(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.observe_incoming) == STANDING
    await _do(pod, guest.start_cpus)
    assert await _do(pod, guest.observe_incoming) == RUNNING
    assert await _do(pod, guest.handed_over_by) == ""


async def statistics_are_counted_by_libvirts_names(pod: Pod) -> None:
    await _refused(pod, guest.read_statistics, contextlib.nullcontext())
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    found = await _do(pod, guest.read_statistics, contextlib.nullcontext())
    names = {
        "cpu.time",
        "balloon.current",
        "balloon.maximum",
        "balloon.rss",
        "vcpu.0.state",
        "vcpu.0.time",
        "net.count",
    }
    assert names <= found.keys() and all(isinstance(found[name], int) for name in names), found
    assert (found["vcpu.maximum"], found["block.count"]) == (1, 0)


async def a_definition_that_is_no_domain_leaves_nothing(pod: Pod) -> None:
    for xml in ("<domain", "<network><name>x</name></network>"):
        await _refused(pod, guest.create_standing, xml)
    assert await _do(pod, guest.observe) == Observation(DomainPhase.ABSENT)


async def cpus_start_once_and_stop_as_often_as_is_asked(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    assert await _do(pod, guest.observe) == RUNNING
    await _refused(pod, guest.start_cpus)
    for _ in range(2):
        await _do(pod, guest.stop_cpus)
        assert await _do(pod, guest.observe) == STANDING
    await _do(pod, guest.start_cpus)
    assert await _do(pod, guest.observe) == RUNNING


async def a_reset_and_the_power_button_leave_a_domain_without_a_guest_as_it_is(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.reset)
    assert await _do(pod, guest.observe) == STANDING
    await _do(pod, guest.start_cpus)
    await _do(pod, guest.reset)
    await _do(pod, guest.press_power_button)
    assert await _do(pod, guest.observe) == RUNNING


async def a_destroyed_domain_is_remembered_as_destroyed_and_can_be_created_again(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.destroy)
    assert await _do(pod, guest.observe) == Observation(DomainPhase.SHUTOFF, ShutoffReason.DESTROYED)
    for function in (guest.destroy, guest.start_cpus, guest.stop_cpus, guest.reset):
        await _refused(pod, function)
    await _do(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.observe) == STANDING


async def a_domain_of_another_name_is_found_and_replaced_by_the_next_attempt(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml(name="guest"))
    assert await _do(pod, guest.observe) == STANDING
    await _refused(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    assert await _do(pod, guest.observe) == RUNNING
    await _do(pod, guest.destroy)
    await _do(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.observe) == STANDING


async def a_name_as_long_as_kubernetes_allows_is_accepted(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml(name=domain_name("n" * 63, "v" * 253)))
    assert await _do(pod, guest.observe) == STANDING


async def a_killed_qemu_is_a_crash_and_an_event_tells(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    await pod.kill_qemu()
    await _until_seen(pod, Observation(DomainPhase.SHUTOFF, ShutoffReason.CRASHED))


async def a_guest_that_shut_down_is_told_from_a_crash_and_an_event_tells(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    await pod.end_qemu()
    await _until_seen(pod, Observation(DomainPhase.SHUTOFF, ShutoffReason.SHUTDOWN))


async def a_restart_of_libvirtd_leaves_qemu_as_it_was_and_breaks_the_connection(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    states: list[bool] = []
    pod.host.subscribe(lambda: states.append(pod.host.connected))
    await pod.restart_libvirtd()
    await _until_seen(pod, RUNNING)
    assert states[0] and False in states[1:]
    await _do(pod, guest.stop_cpus)
    await pod.restart_libvirtd()
    await _until_seen(pod, STANDING)


async def libvirtd_forgets_at_its_restart_why_there_is_no_qemu(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.destroy)
    await pod.restart_libvirtd()
    await _until_seen(pod, Observation(DomainPhase.SHUTOFF, ShutoffReason.UNKNOWN))


async def a_libvirtd_that_hangs_is_unavailable_and_what_it_does_later_is_done(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    await pod.suspend_libvirtd()
    with pytest.raises(HypervisorUnavailable):
        await pod.host.call(guest.observe, timeout=0.5)
    await pod.resume_libvirtd()
    assert await _do(pod, guest.observe) == STANDING


async def an_alias_of_a_machine_type_is_resolved(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml(machine_type="q35"))
    found = await _do(pod, guest.machine_type)
    assert found.startswith("pc-q35-")
    await _do(pod, guest.destroy)
    await _do(pod, guest.create_standing, pod.xml(machine_type=found))
    assert await _do(pod, guest.machine_type) == found


async def a_disk_that_the_domain_lacks_has_no_size(pod: Pod) -> None:
    await _do(pod, guest.create_standing, pod.xml())
    assert await _do(pod, guest.disk_capacities, []) == []
    assert await _do(pod, guest.disk_errors) == ()
    await _refused(pod, guest.disk_capacities, ["vda"])


async def a_guest_without_an_agent_answers_nothing(pod: Pod) -> None:
    with pytest.raises(AgentUnavailable):
        await pod.host.call_agent(guest_agent.ask, '{"execute": "guest-ping"}', 1, timeout=_CALL)
    await _do(pod, guest.create_standing, pod.xml())
    await _do(pod, guest.start_cpus)
    assert await _do(pod, guest_agent.is_connected) is False
    with pytest.raises(AgentUnavailable):
        await pod.host.call_agent(guest_agent.ask, '{"execute": "guest-ping"}', 1, timeout=_CALL)
    with pytest.raises(AgentUnavailable):
        await pod.host.call_agent(guest_agent.reboot, timeout=_CALL)


CHECKS: tuple[Check, ...] = (
    no_domain_is_absent_and_nothing_can_be_done_to_it,
    a_new_domain_waits_for_its_cpus_and_is_not_created_twice,
    a_domain_without_a_description_was_not_handed_over,
    a_definition_that_is_no_domain_leaves_nothing,
    statistics_are_counted_by_libvirts_names,
    cpus_start_once_and_stop_as_often_as_is_asked,
    a_reset_and_the_power_button_leave_a_domain_without_a_guest_as_it_is,
    a_destroyed_domain_is_remembered_as_destroyed_and_can_be_created_again,
    a_domain_of_another_name_is_found_and_replaced_by_the_next_attempt,
    a_name_as_long_as_kubernetes_allows_is_accepted,
    a_killed_qemu_is_a_crash_and_an_event_tells,
    a_guest_that_shut_down_is_told_from_a_crash_and_an_event_tells,
    a_restart_of_libvirtd_leaves_qemu_as_it_was_and_breaks_the_connection,
    libvirtd_forgets_at_its_restart_why_there_is_no_qemu,
    a_libvirtd_that_hangs_is_unavailable_and_what_it_does_later_is_done,
    an_alias_of_a_machine_type_is_resolved,
    a_disk_that_the_domain_lacks_has_no_size,
    a_guest_without_an_agent_answers_nothing,
)

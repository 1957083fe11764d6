"""What a handler answers to virt-operator, which proves it after a replacement."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubevirt.handler.v1 import handler_pb2, probe_pb2, probe_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.conventions import components
from virt_core.rpc.authorize import allow
from virt_core.rpc.errors import Denied
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.port import listening as serving
from virt_core.rpc.tls import Certificates
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.link import Disconnected, MachineLink
from virt_handler.machines.pod import ConnectLauncher
from virt_handler.service.launcher_builds import launchers_message
from virt_handler.service.probes import ProbeService, contract

from tests.support.authorities import Authority
from tests.support.patience import PATIENCE
from tests.unit.handler.demo import NODE, POD_UID, VMI_UID, MakeVmi

from .fake_launcher import FakeLauncher, connected, listening

OTHER_UID = "7c9d4e21-2222-4f0a-9d43-7a1f5f2f9c00"


def service(links: dict[str, MachineLink], *vmis: VirtualMachineInstance, deadline: float = 2.0) -> ProbeService:
    return ProbeService(NODE, list(vmis), lambda vmi, _: links.get(vmi.metadata.uid), deadline=deadline)  # type: ignore[arg-type]


@asynccontextmanager
async def linked(path: Path) -> AsyncIterator[MachineLink]:
    """A link that has seen the guest of the launcher at `path`."""
    changed = asyncio.Event()
    connect: ConnectLauncher = lambda _, name: connected(FakeLauncher(), path, name)  # noqa: E731
    link = MachineLink(connect, ("default", "demo"), VMI_UID, POD_UID, changed.set)
    task = asyncio.create_task(link.run())
    async with asyncio.timeout(PATIENCE):
        await changed.wait()
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])


async def machines(asked: ProbeService, *uids: str) -> list[probe_pb2.ProbedMachine]:
    answer = await asked.ProbeMachines(probe_pb2.ProbeMachinesRequest(uids=uids), None)
    return list(answer.machines)


async def test_each_guest_of_the_node_is_reported_with_its_launchers_answer(make_vmi: MakeVmi, tmp_path: Path) -> None:
    other = make_vmi(name="other", uid=OTHER_UID, status={"activePods": {"pod-2": NODE, "pod-3": "elsewhere"}})
    async with listening(FakeLauncher(), tmp_path / "sock"), linked(tmp_path / "sock") as link:
        first, second = await machines(service({VMI_UID: link}, make_vmi(), other))
    assert (first.machine.namespace, first.machine.name, first.machine.uid) == ("default", "demo", VMI_UID)
    assert (first.pod_uid, first.launcher_answered, first.message) == (POD_UID, True, "")
    assert 0 < first.round_trip.ToTimedelta().total_seconds() < PATIENCE
    assert (second.machine.uid, second.pod_uid, second.launcher_answered) == (OTHER_UID, "pod-2", False)
    assert second.message == "this handler has not connected to its launcher" and not second.HasField("round_trip")


async def test_only_the_guests_that_the_caller_names_are_probed(make_vmi: MakeVmi) -> None:
    asked = service({}, make_vmi(), make_vmi(name="other", uid=OTHER_UID))
    assert [machine.machine.uid for machine in await machines(asked, OTHER_UID, "unknown")] == [OTHER_UID]


async def test_a_launcher_that_hangs_costs_its_deadline_and_is_named(make_vmi: MakeVmi, tmp_path: Path) -> None:
    peer = Peer(f"unix:{tmp_path}/mute", name="launcher of default/demo")

    class Link:
        @asynccontextmanager
        async def launcher(self) -> AsyncIterator[SimpleNamespace]:
            yield SimpleNamespace(peer=peer)

    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        (machine,) = await machines(service({VMI_UID: Link()}, make_vmi(), deadline=0.2))  # type: ignore[dict-item]
        await peer.close()
    assert not machine.launcher_answered and machine.message


async def test_all_launchers_of_a_full_node_are_asked_at_once(make_vmi: MakeVmi) -> None:
    together = asyncio.Barrier(100)

    class Link:
        @asynccontextmanager
        async def launcher(self) -> AsyncIterator[SimpleNamespace]:
            await together.wait()
            raise Disconnected("it hangs")
            yield

    vmis = [make_vmi(name=f"vm{number}", uid=f"uid-{number}") for number in range(100)]
    links: dict[str, Any] = {vmi.metadata.uid: Link() for vmi in vmis}
    async with asyncio.timeout(PATIENCE):
        assert {machine.message for machine in await machines(service(links, *vmis))} == {"it hangs"}


async def test_launchers_are_counted_by_what_they_have_answered_and_none_is_asked(
    make_vmi: MakeVmi, tmp_path: Path
) -> None:
    others = [make_vmi(name=f"vm{number}", uid=f"uid-{number}") for number in range(3)]
    old = info_pb2.GetInfoResponse(release="0.1.0", feature_level=1, contracts=["kubevirt.launcher.v1"])
    links: dict[str, Any] = {f"uid-{number}": SimpleNamespace(launcher_info=old) for number in range(2)}
    async with listening(FakeLauncher(), tmp_path / "sock"), linked(tmp_path / "sock") as link:
        asked = service({VMI_UID: link, **links}, make_vmi(), *others)
        answer = await asked.ListLaunchers(probe_pb2.ListLaunchersRequest(), None)
    assert [(build.release, build.count, build.example.name) for build in answer.builds] == [
        ("0.1.0", 2, "vm0"),
        (Identity.for_process(info_pb2.COMPONENT_LAUNCHER, ()).release, 1, "demo"),
    ]
    assert list(answer.builds[0].contracts) == ["kubevirt.launcher.v1"] and "kubevirt.launcher.v1" in (
        answer.builds[1].contracts
    )
    assert (answer.unconnected, answer.further) == (1, 0)


def test_what_hostile_launchers_answer_is_bounded() -> None:
    guest = handler_pb2.VirtualMachineInstanceRef(namespace="default", name="demo", uid="u")
    liars = [
        info_pb2.GetInfoResponse(release=f"{number}\x1b[2J" + "x" * 999, features=["f\n" * 999] * 999)
        for number in range(70)
    ]
    answer = launchers_message((guest, liar) for liar in liars)
    assert len(answer.builds) == 50 and answer.further == 20
    assert all(len(build.features) == 64 and build.release.isprintable() for build in answer.builds)
    assert answer.ByteSize() < 1 << 20


def call(folder: Path, port: int) -> tuple[Peer, Callable[..., Any]]:
    options = (("grpc.ssl_target_name_override", "localhost"),)
    peer = Peer(f"127.0.0.1:{port}", name="h", credentials=Certificates(folder).channel_credentials(), options=options)
    stub: Any = probe_pb2_grpc.ProbeServiceStub(peer.channel)
    return peer, stub.ProbeMachines


async def test_nobody_but_virt_operator_may_probe(make_vmi: MakeVmi, tmp_path: Path) -> None:
    authority = Authority("suite")
    own = authority.write_leaf(tmp_path / "handler", "kubevirt.io:system:virt-handler")
    identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.handler.v1",))
    rule = allow(components.OPERATOR, components.API)
    async with serving(0, identity, Certificates(own), contract(service({}, make_vmi())), peers=rule) as port:
        for component in (components.OPERATOR, components.API, components.HANDLER):
            leaf = authority.write_leaf(tmp_path / component, f"kubevirt.io:system:{component}")
            peer, method = call(leaf, port)
            try:
                if component == components.OPERATOR:
                    answer = await peer.call(method, probe_pb2.ProbeMachinesRequest(), timeout=PATIENCE)
                    assert [machine.machine.uid for machine in answer.machines] == [VMI_UID]
                else:
                    with pytest.raises(Denied):
                        await peer.call(method, probe_pb2.ProbeMachinesRequest(), timeout=PATIENCE)
            finally:
                await peer.close()

"""GetInfo of every pod of the suite, over real mTLS; the pods' addresses are those of this machine's loopback."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kubevirt.handler.v1 import handler_pb2, probe_pb2, probe_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.port import Contract, listening
from virt_core.rpc.tls import Certificates
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf
from virt_operator.peers.answer import Info, LauncherBuild, NodeLaunchers, SuitePod, suite_pods
from virt_operator.peers.ask import ask_all, ask_launchers

from tests.unit.operator.pods import pod


def certificates(authority: KeyPair, folder: Path, component: str) -> Certificates:
    names = (f"{component}.kubevirt.svc",)
    leaf = new_leaf(authority, f"kubevirt.io:system:{component}", names, datetime.now(UTC))
    folder.mkdir()
    for name, content in (("tls.crt", leaf.certificate), ("tls.key", leaf.key), ("ca.crt", leaf.bundle)):
        (folder / name).write_bytes(content)
    return Certificates(folder)


def test_guests_and_pods_that_have_ended_are_not_queried() -> None:
    pods = [
        pod("virt-handler-a", "virt-handler"),
        pod("virt-api-a", "virt-api", address=""),
        pod("virt-api-b", "virt-api", phase="Failed"),
        pod("virt-launcher-guest", "virt-launcher"),
        pod("virt-operator-strategy", "virt-operator-strategy"),
    ]
    assert suite_pods(pods) == (
        SuitePod("virt-api", "virt-api-a", "node1", ""),
        SuitePod("virt-handler", "virt-handler-a", "node1", "10.0.0.1"),
    )


async def test_each_pod_gives_an_answer_or_a_reason(tmp_path: Path) -> None:
    authority = new_authority(datetime.now(UTC))
    own = certificates(authority, tmp_path / "operator", "virt-operator")
    handler = certificates(authority, tmp_path / "handler", "virt-handler")
    identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.info.v1",), frozenset({"new"}))
    pods = (
        SuitePod("virt-handler", "virt-handler-a", "node1", "127.0.0.1"),
        SuitePod("virt-handler", "virt-handler-silent", "node2", "127.0.0.2"),
        SuitePod("virt-handler", "virt-handler-new", "node3", ""),
        SuitePod("virt-api", "virt-api-a", "node1", "127.0.0.1"),
    )
    async with listening(0, identity, handler, peers=allow("virt-operator")) as port:
        # On one address of the loopback a listener never answers.
        with socket.create_server(("127.0.0.2", 0)) as silent:
            silent.listen()
            first, *others = await ask_all(pods[:1] + pods[2:], own, "kubevirt", port=port)
            mute = SuitePod("virt-handler", "virt-handler-silent", "node2", "127.0.0.2")
            (last,) = await ask_all([mute], own, "kubevirt", port=silent.getsockname()[1], deadline=0.3)
    assert first.info is not None
    assert (first.info.instance_id, first.info.features) == (identity.instance_id, frozenset({"new"}))
    assert first.info.trust_bundle_sha256 == handler.trust_bundle_sha256() == own.trust_bundle_sha256()
    assert [answer.pod for answer in others] == [pods[2], pods[3]]
    assert others[0].problem == "the pod has no address yet"
    assert "Hostname Verification" in others[1].problem  # a handler's certificate is not an api's
    assert last.info is None and last.problem
    (gone,) = await ask_all(pods[:1], own, "kubevirt", port=port)
    assert "refused" in gone.problem


class Counting(probe_pb2_grpc.ProbeServiceServicer):
    """The virt-handler of a node with one launcher, and one more of which it knows nothing."""

    async def ListLaunchers(  # noqa: N802
        self, request: probe_pb2.ListLaunchersRequest, context: Any
    ) -> probe_pb2.ListLaunchersResponse:
        guest = handler_pb2.VirtualMachineInstanceRef(namespace="shop", name="web")
        build = probe_pb2.LauncherBuild(release="0.1.0", feature_level=1, count=1, example=guest)
        return probe_pb2.ListLaunchersResponse(builds=[build], unconnected=1)


async def test_a_handler_says_which_launchers_it_has_and_one_of_a_release_before_says_nothing(tmp_path: Path) -> None:
    authority = new_authority(datetime.now(UTC))
    own = certificates(authority, tmp_path / "operator", "virt-operator")
    handler = certificates(authority, tmp_path / "handler", "virt-handler")
    identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.info.v1",))
    name = probe_pb2.DESCRIPTOR.services_by_name["ProbeService"].full_name
    served = partial(probe_pb2_grpc.add_ProbeServiceServicer_to_server, Counting())
    rule = allow("virt-operator")
    pod = SuitePod("virt-handler", "virt-handler-a", "node1", "127.0.0.1")
    async with listening(0, identity, handler, Contract(name, served, rule), peers=rule) as port:
        answers = await ask_all([pod, replace(pod, component="virt-api")], own, "kubevirt", port=port)
        (found,) = await ask_launchers(answers, own, "kubevirt", port=port)
    build = LauncherBuild(Info("0.1.0", "", 1, frozenset(), frozenset(), ""), 1, ("shop", "web"))
    assert found == NodeLaunchers(pod, (build,), 1)
    async with listening(0, identity, handler, peers=rule) as port:
        answers = await ask_all([pod], own, "kubevirt", port=port)
        assert answers[0].info is not None and await ask_launchers(answers, own, "kubevirt", port=port) == ()

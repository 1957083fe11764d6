"""The admin port: authentication, authorization and responses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from kubevirt.admin.v1 import admin_pb2
from virt_core.kube import errors as kube
from virt_core.rpc.errors import Denied, Unavailable
from virt_core.rpc.server import KEEPALIVE_OPTIONS
from virt_core.rpc.tls import Certificates
from virt_operator.admin.authorization import Authorization, caller_of
from virt_operator.admin.contracts import contracts_message
from virt_operator.admin.server import VERBS
from virt_operator.admin.status import holder_of, peer_message, suite_message
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.peers.answer import Answer, Info, LauncherBuild, NodeLaunchers, SuitePod

NOW = datetime.now(UTC)
SUITE = new_authority(NOW)


def of_the_suite(component: str) -> bytes:
    return new_leaf(SUITE, f"kubevirt.io:system:{component}", (f"{component}.kubevirt.svc",), NOW).certificate


def of_the_cluster(*names: tuple[x509.ObjectIdentifier, str]) -> bytes:
    """A client's certificate of another authority."""
    key, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


class Context:
    """Of a call with this certificate."""

    def __init__(self, certificate: bytes | None) -> None:
        self._shown = [certificate] if certificate is not None else []

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": self._shown}


class Reviewer:
    """kube-apiserver, as far as it reviews: `allowed` are the users that may."""

    def __init__(self, *allowed: str, failure: Exception | None = None) -> None:
        self.reviews: list[dict[str, Any]] = []
        self._allowed, self._failure = allowed, failure

    async def create(self, resource: Any, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure
        self.reviews.append(body["spec"])
        return {"status": {"allowed": body["spec"]["user"] in self._allowed}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(SUITE.bundle)
    return tmp_path


def rules(reviewer: Reviewer, folder: Path) -> Authorization:
    return Authorization(reviewer, "kubevirt", Certificates(folder))  # type: ignore[arg-type]


ALICE = ((NameOID.COMMON_NAME, "alice"), (NameOID.ORGANIZATION_NAME, "ops"), (NameOID.ORGANIZATION_NAME, "dev"))


def test_a_certificate_of_the_cluster_is_a_user_with_groups() -> None:
    caller = caller_of(of_the_cluster(*ALICE), SUITE.bundle)
    assert (caller.name, caller.groups) == ("alice", ("ops", "dev", "system:authenticated"))
    assert not caller.component


def test_a_certificate_of_the_suite_is_a_component_in_no_group() -> None:
    caller = caller_of(of_the_suite("virt-api"), SUITE.bundle)
    assert (caller.name, caller.groups, caller.component) == ("kubevirt.io:system:virt-api", (), True)


@pytest.mark.parametrize(
    "names",
    [
        ((NameOID.ORGANIZATION_NAME, "system:masters"),),
        ((NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "admin")),
    ],
)
def test_a_certificate_that_names_nobody_or_two_is_refused(names: Any) -> None:
    with pytest.raises(Denied, match="exactly one"):
        caller_of(of_the_cluster(*names), SUITE.bundle)


async def test_kubernetes_decides_and_a_refusal_names_what_is_missing(folder: Path) -> None:
    reviewer = Reviewer("alice")
    allowed = rules(reviewer, folder)
    await allowed.readers(Context(of_the_cluster(*ALICE)))
    assert reviewer.reviews == [
        {
            "user": "alice",
            "groups": ["ops", "dev", "system:authenticated"],
            "resourceAttributes": {
                "namespace": "kubevirt",
                "verb": "get",
                "group": "kubevirt.io",
                "version": "v1",
                "resource": "kubevirts",
                "subresource": "admin",
            },
        }
    ]
    missing = 'User "kubevirt.io:system:virt-handler" cannot get resource "kubevirts/admin" in API group "kubevirt.io"'
    with pytest.raises(Denied, match=missing):
        await allowed.readers(Context(of_the_suite("virt-handler")))
    with pytest.raises(Denied, match="without certificate"):
        await allowed.readers(Context(None))


async def test_a_method_has_a_verb_of_its_own(folder: Path) -> None:
    reviewer = Reviewer("alice")
    allowed = rules(reviewer, folder).may("plan")
    await allowed(Context(of_the_cluster(*ALICE)))
    assert [review["resourceAttributes"]["verb"] for review in reviewer.reviews] == ["plan"]
    with pytest.raises(Denied, match='cannot plan resource "kubevirts/admin"'):
        await allowed(Context(of_the_suite("virt-handler")))


def test_whoever_may_read_may_change_nothing() -> None:
    assert {
        **dict.fromkeys(("GetStatus", "ListPeers", "ListContracts"), "get"),
        **{name: name.lower() for name in ("Plan", "Watch", "Upgrade", "Pause", "Resume", "Rollback", "Finalize")},
    } == VERBS


async def test_without_an_answer_of_kubernetes_nobody_may(folder: Path) -> None:
    context = Context(of_the_cluster(*ALICE))
    with pytest.raises(Unavailable, match="try again"):
        await rules(Reviewer(failure=kube.Unavailable(0, "refused")), folder).readers(context)
    with pytest.raises(Denied, match="may not ask"):
        await rules(Reviewer(failure=kube.Forbidden(403, "no")), folder).readers(context)


async def test_a_users_certificate_with_the_operators_name_is_not_the_operators(folder: Path) -> None:
    allowed = rules(Reviewer(), folder)
    await allowed.peers(Context(of_the_suite("virt-operator")))
    for certificate in (
        of_the_cluster((NameOID.COMMON_NAME, "kubevirt.io:system:virt-operator")),
        of_the_suite("virt-handler"),
    ):
        with pytest.raises(Denied, match="only"):
            await allowed.peers(Context(certificate))


def test_the_status_has_phase_conditions_and_waits() -> None:
    since = "2026-01-31T10:00:00Z"
    wait = {"object": "DaemonSet kubevirt/virt-handler", "reason": "1 of 2 pods", "since": since}
    suite = suite_message(
        {
            "metadata": {"namespace": "kubevirt", "name": "kubevirt", "uid": "u", "generation": 3},
            "status": {
                "phase": "Deploying",
                "observedGeneration": 2,
                "targetKubeVirtVersion": "v2",
                "observedKubeVirtVersion": "v1",
                "conditions": [{"type": "Available", "status": "True", "lastTransitionTime": since}],
                "upgrade": {"operation": "Upgrade", "step": "Handlers", "since": since, "waitingFor": [wait]},
            },
        }
    )
    assert (suite.name, suite.phase, suite.generation, suite.observed_generation) == ("kubevirt", "Deploying", 3, 2)
    assert (suite.target.version, suite.observed.version) == ("v2", "v1")
    assert suite.conditions[0].last_transition_time.ToJsonString() == since
    assert (suite.upgrade.operation, suite.upgrade.step) == ("Upgrade", "Handlers")
    waiting = suite.upgrade.waiting_for[0]
    assert (waiting.object, waiting.reason, waiting.since.ToJsonString()) == (wait["object"], wait["reason"], since)


@pytest.mark.parametrize("status", [None, {}, {"upgrade": "soon", "conditions": {"a": 1}, "phase": 7}])
def test_a_status_of_another_shape_is_converted_as_far_as_possible(status: Any) -> None:
    suite = suite_message({"metadata": {"name": "kubevirt"}, "status": status})
    assert suite.name == "kubevirt"
    assert not suite.HasField("upgrade")
    upgrading = suite_message({"metadata": {}, "status": {"upgrade": {"step": "x", "since": "yesterday"}}}).upgrade
    assert (upgrading.step, upgrading.HasField("since")) == ("x", False)


def test_a_change_has_its_steps_its_wave_and_why_it_has_stopped() -> None:
    since = "2026-01-31T10:00:00Z"
    wave = {"number": 2, "nodes": ["node1", 7], "since": since, "proven": since}
    stopped = {"operation": "Update", "version": "v2", "object": "node node1", "probe": "machines", "at": since}
    state = {
        "operation": "Update",
        "step": "virt-handler",
        "fromVersion": "v1",
        "toVersion": "v2",
        "pausedSince": since,
    }
    operation = suite_message(
        {"metadata": {}, "status": {"upgrade": {**state, "wave": wave, "stopped": stopped}}}
    ).upgrade
    assert (operation.from_version, operation.to_version) == ("v1", "v2")
    assert operation.paused_since.ToJsonString() == operation.wave.proven.ToJsonString() == since
    assert (operation.wave.number, list(operation.wave.nodes)) == (2, ["node1"])
    assert (operation.stopped.version, operation.stopped.object) == ("v2", "node node1")
    states = {step.name: step.state for step in operation.steps}
    assert states["Definitions"] == admin_pb2.STEP_STATE_DONE and states["virt-api"] == admin_pb2.STEP_STATE_TO_COME


def test_the_way_back_is_reported_without_an_operation() -> None:
    back = {"version": "v1", "registry": "r", "release": "0.1.0", "level": 1, "refusals": ["an old guest"]}
    suite = suite_message(
        {"spec": {"upgradeStrategy": {"paused": True}}, "status": {"upgrade": {"level": 2, "wayBack": back}}}
    )
    assert not suite.HasField("upgrade") and suite.paused and suite.level == 2
    assert (suite.way_back.deployment.version, suite.way_back.release, suite.way_back.level) == ("v1", "0.1.0", 1)
    assert list(suite.way_back.refusals) == ["an old guest"] and not suite.way_back.HasField("proven_at")


def answer(component: str, pod: str, release: str, *contracts: str, features: tuple[str, ...] = ()) -> Answer:
    info = Info(release, pod, 1, frozenset({"kubevirt.info.v1", *contracts}), frozenset(features), "hash")
    return Answer(SuitePod(component, pod, "node1", "10.0.0.1"), info)


def test_two_sides_share_the_versions_that_both_know_and_the_features_that_all_have() -> None:
    handlers = [
        answer("virt-handler", "a", "0.2.0", "kubevirt.handler.v1", "kubevirt.handler.v2", features=("f", "g")),
        answer("virt-handler", "b", "0.2.0", "kubevirt.handler.v1", features=("f",)),
        answer("virt-handler", "c", "0.1.0", "kubevirt.handler.v0"),
    ]
    silent = Answer(SuitePod("virt-handler", "d", "node2", ""), None, "the pod has no address yet")
    found = contracts_message([answer("virt-api", "api", "0.2.0"), *handlers, silent])
    assert [(contract.name, len(contract.offers)) for contract in found.contracts] == [
        ("kubevirt.handler", 3),
        ("kubevirt.info", 4),
    ]
    assert list(found.contracts[0].offers[0].versions) == ["v1", "v2"]
    shared = {
        (pairing.contract, pairing.server.release, pairing.server.processes): (
            list(pairing.versions),
            list(pairing.features),
        )
        for pairing in found.pairings
    }
    assert shared == {
        ("kubevirt.handler", "0.1.0", 1): ([], []),
        ("kubevirt.handler", "0.2.0", 2): (["v1"], ["f"]),
        ("kubevirt.info", "0.1.0", 1): (["v1"], []),
        ("kubevirt.info", "0.2.0", 2): (["v1"], ["f"]),
    }
    assert [peer.pod for peer in found.peers if peer.problem] == ["d"]


def test_launchers_are_counted_by_build_over_all_nodes_and_paired_with_their_handlers() -> None:
    handlers = [
        answer("virt-handler", "a", "0.2.0", features=("f",)),
        replace(answer("virt-handler", "b", "0.1.0"), pod=SuitePod("virt-handler", "b", "node2", "10.0.0.2")),
        Answer(SuitePod("virt-handler", "c", "node3", ""), None, "the pod has no address yet"),
    ]
    new, liar = (
        Info("0.2.0", "", 2, frozenset(contracts), frozenset({"g"}), "") for contracts in (["kubevirt.launcher.v1"], [])
    )
    nodes = [
        NodeLaunchers(handlers[0].pod, (LauncherBuild(new, 2, ("shop", "web")), LauncherBuild(liar, 1, ("x", "y"))), 1),
        NodeLaunchers(handlers[1].pod, (LauncherBuild(new, 3, ("default", "ada")),), 0),
    ]
    found = contracts_message(handlers, nodes)
    (first, second) = found.launchers
    assert (first.release, first.feature_level, first.count) == ("0.2.0", 2, 5)
    assert (first.example_namespace, first.example_name, list(first.features)) == ("default", "ada", ["g"])
    assert (second.count, list(second.contracts)) == (1, [])
    assert (found.other_launchers, list(found.uncounted_nodes)) == (1, ["node3"])
    shared = [
        (pairing.caller.release, pairing.server.processes, list(pairing.versions))
        for pairing in found.pairings
        if pairing.contract == "kubevirt.launcher"
    ]
    assert sorted(shared) == [("0.1.0", 3, ["v1"]), ("0.2.0", 1, []), ("0.2.0", 2, ["v1"])]


def test_hostile_launchers_make_no_answer_that_is_too_large_and_hide_no_usual_build() -> None:
    names = [f"{number}".ljust(128, "\U0001f600") for number in range(64)]  # as many as a virt-handler repeats
    usual = LauncherBuild(
        Info("0.2.0", "", 2, frozenset({"kubevirt.launcher.v1"}), frozenset(), ""), 2, ("shop", "web")
    )
    handlers, nodes = [answer("virt-handler", name, "0.2.0") for name in "abc"], []
    for handler in handlers:
        hostile = (
            Info(f"{handler.pod.name}{number}", "", 1, frozenset(names[:32]), frozenset(names), "")
            for number in range(50)
        )
        builds = (*(LauncherBuild(info, 1, ("x", "y")) for info in hostile), usual)
        nodes.append(NodeLaunchers(handler.pod, builds, 1))
    found = contracts_message(handlers, nodes)
    assert found.ByteSize() < dict(KEEPALIVE_OPTIONS)["grpc.max_receive_message_length"]
    assert (found.launchers[0].release, found.launchers[0].count) == ("0.2.0", 6)
    assert sum(launchers.count for launchers in found.launchers) + found.other_launchers == 3 * 53


def test_a_pod_is_listed_with_its_answer_or_with_the_problem() -> None:
    pod = SuitePod("virt-api", "virt-api-a", "node1", "10.0.0.1")
    info = Info("0.1.0", "id", 1, frozenset({"b", "a"}), frozenset(), "hash")
    message = peer_message(Answer(pod, info))
    assert (message.pod, message.node, list(message.info.contracts)) == ("virt-api-a", "node1", ["a", "b"])
    silent = peer_message(Answer(pod, None, "refused"))
    assert (silent.problem, silent.HasField("info")) == ("refused", False)


def test_the_leader_is_who_holds_the_lease() -> None:
    assert holder_of([{"spec": {"holderIdentity": "a"}}]) == "a"
    assert holder_of([{"spec": {}}]) == holder_of([]) == ""

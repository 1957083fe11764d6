"""The admin port: authentication, authorization and responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from virt_core.kube import errors as kube
from virt_core.rpc.errors import Denied, Unavailable
from virt_core.rpc.tls import Certificates
from virt_operator.admin.authorization import Authorization, caller_of
from virt_operator.admin.status import holder_of, peer_message, suite_message
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.peers.answer import Answer, Info, SuitePod

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


async def test_a_plan_has_a_verb_of_its_own(folder: Path) -> None:
    reviewer = Reviewer("alice")
    allowed = rules(reviewer, folder)
    await allowed.planners(Context(of_the_cluster(*ALICE)))
    assert [review["resourceAttributes"]["verb"] for review in reviewer.reviews] == ["plan"]
    with pytest.raises(Denied, match='cannot plan resource "kubevirts/admin"'):
        await allowed.planners(Context(of_the_suite("virt-handler")))


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

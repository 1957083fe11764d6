"""upgrade, pause, resume, rollback and finalize: by virt-operator, directly, and until they have ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kubevirt.admin.v1 import admin_pb2
from virt_admin.access import Access, Certificate, connected
from virt_admin.cli import virtadm
from virt_admin.outcome import CannotTell, NotPossible, OperatorSilent, WrongArgument
from virt_admin.peers.contracts import show_contracts
from virt_admin.peers.matrix import Contract, Matrix, Pairing, Side, exit_code
from virt_admin.requests.commands import request, upgrade
from virt_admin.requests.goal import end_of
from virt_admin.requests.wish import Wish
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import KubeVirt
from virt_core.rpc.tls import read_files
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

from tests.support.patience import PATIENCE

from .bodies import decoded, kubevirt
from .port_server import PortServer, access, serving

SUITE = KUBEVIRTS.path("kubevirt", "kubevirt")
BACK = {"wayBack": {"version": "v0", "registry": "r", "release": "0.0.9", "level": 1}}


STOPPED = {"target": "1f", "version": "v2", "release": "0.2.0", "operation": "Update", "component": "virt-handler"}
STOPPED |= {"object": "node node1", "probe": "machines", "message": "does not see x/y", "at": ""}


def test_a_request_is_one_of_the_contracts_methods_that_change_the_suite() -> None:
    methods = {method.name for method in admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods}
    changing = {name for name in methods if not name.startswith(("Get", "List"))} - {"Plan", "Watch"}
    assert {Wish(name).request.DESCRIPTOR.name for name in changing} == {f"{name}Request" for name in changing}
    for name in (*(methods - changing), "upgrade", ""):
        with pytest.raises(ValueError, match="is no request"):
            Wish(name)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[PortServer]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def certified(api: PortServer, tmp_path: Path) -> AsyncIterator[Access]:
    """A user whom virt-operator knows."""
    files = read_files(tmp_path / "alice")
    async with access(tmp_path) as found:
        yield replace(found, certificate=Certificate(files["tls.crt"], files["tls.key"]))


@pytest.fixture
async def token(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Access]:
    """A user without a certificate, and the suite in an API server."""
    server.put(KUBEVIRTS.path("kubevirt"), kubevirt(upgrade=BACK, observedKubeVirtRegistry="r"))
    async with connected(str(server.write_kubeconfig(tmp_path / "config")), None, None) as found:
        yield found


def planned(blocking: bool) -> list[admin_pb2.PlanResponse]:
    severity = admin_pb2.SEVERITY_BLOCKING if blocking else admin_pb2.SEVERITY_INFO
    subject = admin_pb2.Subject(kind="Node", name="node1")
    finding = admin_pb2.Finding(severity=severity, subject=subject, reason="NodeNotReady", message="it is down")
    summary = admin_pb2.PlanSummary(operation="Update", from_release="0.1.0", to_release="0.2.0", tag="v2", probed=True)
    found = admin_pb2.PlanResponse(findings=admin_pb2.Findings(findings=[finding]))
    return [found, admin_pb2.PlanResponse(summary=summary)]


async def upgraded(found: Access, output: str = "text", plans: bool = True) -> int:
    return await upgrade(found, Wish("Upgrade", "v2", "r"), output, plans=plans, waits=False, direct=False)


async def requested(found: Access, method: str, direct: bool = False) -> int:
    return await request(found, Wish(method), "json", waits=False, direct=direct)


async def test_an_operator_that_makes_no_plan_is_named_with_what_to_do(
    certified: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_plan(*_: object) -> None:
        raise OperatorSilent("this virt-operator is older and cannot do it: Plan")

    monkeypatch.setattr("virt_admin.requests.commands.read_plan", read_plan)
    with pytest.raises(CannotTell, match=r"no plan: this virt-operator is older .* use --skip-plan --direct"):
        await upgraded(certified)


async def test_an_upgrade_is_planned_first_and_then_requested(
    api: PortServer, certified: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    api.operator.planned = planned(blocking=False)
    assert await upgraded(certified) == 0
    assert api.operator.requested == ["Upgrade v2 r"] and api.operator.callers == [b"alice", b"alice"]
    assert capsys.readouterr().out.splitlines() == [
        "Update 0.1.0 → 0.2.0: less than 1 s; 0 in the way, 0 warnings",
        "v2 is requested",
    ]
    assert await upgraded(certified, "json") == 0
    plan, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert plan["toRelease"] == "0.2.0" and answer == {"message": "v2 is requested", "changed": True, "version": "v2"}


async def test_what_stands_in_the_way_keeps_an_upgrade_from_being_requested(
    api: PortServer, certified: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    api.operator.planned = planned(blocking=True)
    assert await upgraded(certified) == 2
    assert api.operator.requested == []
    shown = capsys.readouterr()
    assert "NodeNotReady: it is down" in shown.out and "nothing was changed" in shown.err
    assert await upgraded(certified, plans=False) == 0
    assert api.operator.requested == ["Upgrade v2 r"]


@pytest.mark.parametrize("method", ["Pause", "Resume", "Rollback", "Finalize"])
async def test_virt_operator_is_asked_for_what_is_requested(api: PortServer, certified: Access, method: str) -> None:
    assert await requested(certified, method) == 0
    assert api.operator.requested == [method]


async def test_an_impossible_request_ends_with_2_and_the_operators_sentence(api: PortServer, certified: Access) -> None:
    api.operator.impossible = "there is nothing to go back to"
    with pytest.raises(NotPossible, match="there is nothing to go back to") as refused:
        await requested(certified, "Rollback")
    assert refused.value.status == 2


async def test_without_virt_operator_the_way_to_change_the_object_is_named(api: PortServer, certified: Access) -> None:
    api.error = "connection refused in the pod"
    with pytest.raises(CannotTell, match="connection refused in the pod; with --direct you change") as refused:
        await requested(certified, "Pause")
    assert refused.value.status == 3


@pytest.mark.parametrize(
    ("method", "part", "value"),
    [
        ("Pause", "spec", {"upgradeStrategy": {"paused": True}}),
        ("Rollback", "spec", {"imageTag": "v0", "imageRegistry": "r"}),
        ("Finalize", "annotations", {"kubevirt.io/finalize-upgrade": "v1"}),
    ],
)
async def test_without_a_certificate_the_object_is_changed_with_the_users_rights(
    server: FakeApiServer, token: Access, method: str, part: str, value: Any
) -> None:
    assert await requested(token, method) == 0
    body = server.store.get(Place.parse(SUITE))
    assert (body["spec"] if part == "spec" else body["metadata"]["annotations"]) == value


async def test_an_upgrade_without_a_certificate_needs_skip_plan(server: FakeApiServer, token: Access) -> None:
    with pytest.raises(CannotTell, match="To begin without a plan, use --skip-plan"):
        await upgraded(token)
    assert {method for method, _ in server.requests} <= {"LIST"}
    assert await upgraded(token, plans=False) == 0
    assert server.store.get(Place.parse(SUITE))["spec"] == {"imageTag": "v2", "imageRegistry": "r"}


async def test_a_direct_request_refuses_in_the_operators_words(
    server: FakeApiServer, token: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotPossible, match="v1 is installed already"):
        await request(token, Wish("Upgrade", "v1"), "text", waits=False, direct=True)
    with pytest.raises(WrongArgument, match="tag: 'a b' is not allowed") as wrong:
        await request(token, Wish("Upgrade", "a b"), "text", waits=False, direct=True)
    assert wrong.value.status == 64
    await request(token, Wish("Resume"), "text", waits=False, direct=True)
    assert capsys.readouterr() == ("it is not paused already\n", "")
    server.remove(SUITE)
    with pytest.raises(NotPossible, match="no KubeVirt object exists"):
        await requested(token, "Pause")


async def test_a_permission_that_is_missing_for_a_direct_request_is_named(server: FakeApiServer, token: Access) -> None:
    def refuse(method: str, place: Place) -> None:
        if method == "PATCH":
            raise Refused(403, "Forbidden", "no")

    server.fault = refuse
    with pytest.raises(CannotTell, match="you may not patch kubevirts: no"):
        await requested(token, "Pause")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedKubeVirtVersion": "v2", "upgrade": None}, (0, "v2 is installed")),
        ({"upgrade": {"operation": "Stopped", "stopped": STOPPED}}, (2, "the update to v2 has stopped at virt-hand")),
    ],
)
async def test_a_wait_shows_the_suite_until_the_change_has_ended(
    server: FakeApiServer, token: Access, capsys: pytest.CaptureFixture[str], status: Any, expected: tuple[int, str]
) -> None:
    async def operate() -> None:
        await server.received("PATCH", 1)
        server.patch(SUITE, {"status": {"upgrade": {"operation": "Update", "step": "virt-api", "toVersion": "v2"}}})
        await server.received("WATCH", 1)
        server.patch(SUITE, {"status": {"observedGeneration": 9, **status}})

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(operate())
        ended = await upgrade(token, Wish("Upgrade", "v2"), "text", plans=False, waits=True, direct=True)
    shown = capsys.readouterr()
    assert ended == expected[0] and expected[1] in shown.err
    assert shown.out.startswith("the change from v1 to v2 is requested\n")
    assert " KubeVirt kubevirt/kubevirt: " in shown.out


def suite(
    spec: dict[str, Any] | None = None, available: str = "True", retry: str = "", generation: int = 1, **status: Any
) -> KubeVirt:
    body = kubevirt(available, **status)
    body["metadata"] |= {"annotations": {"kubevirt.io/retry-upgrade": retry}, "generation": generation}
    return decoded({**body, "spec": spec or {}}, KubeVirt)


FAILED = {"operation": "Stopped", "stopped": STOPPED}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (suite(), None, ""),
        (suite({"imageTag": "v2"}, upgrade={"operation": "Update", "step": "virt-api"}), None, ""),
        (suite({"imageTag": "v2"}, observedKubeVirtVersion="v2"), 0, "v2 is installed"),
        (suite({"imageTag": "v2"}, observedKubeVirtVersion="v2", upgrade=BACK), 0, "v2 is installed"),
        (suite(observedKubeVirtVersion="v2", generation=2), None, ""),
        (suite(available="False", observedKubeVirtVersion="v2"), 2, "the suite is not available"),
        (suite({"imageTag": "v2"}, upgrade=FAILED), 2, "node node1 failed the probe machines: does not see x/y; v1 is"),
        (suite({"imageTag": "v2"}, retry="again", upgrade=FAILED), None, ""),
        (suite({"imageTag": "v2"}, upgrade={**FAILED, "operation": "Rollback"}), None, ""),
        (suite({"imageTag": "v3"}), 1, "somebody requests v3 instead of v2"),
        (None, 2, "the KubeVirt object is gone"),
    ],
)
def test_a_wait_ends_when_the_change_is_done_has_stopped_or_is_not_requested_any_more(
    found: KubeVirt | None, status: int | None, words: str
) -> None:
    ended = end_of(found, "v2")
    assert (ended[0] if ended is not None else None) == status
    assert words in (ended[1] if ended is not None else "")


async def test_the_matrix_of_contracts_is_shown(
    api: PortServer, certified: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await show_contracts(certified, "text") == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "handler\tvirt-handler\tvirt-handler-1\tnode1\t0.2.0\t2\tv1\t"
    assert shown[3] == "handler\tvirt-api 0.1.0 (level 1, 2)\tvirt-handler 0.2.0 (level 2, 1)\tv1\t"
    assert shown[5] == "0.1.0\t1\t2\tlauncher.v1\t\tdefault/ada"
    assert shown[6:] == [
        "virt-api virt-api-0 does not answer: no answer",
        "1 more launchers are of further builds, or of none that is known",
        "no virt-handler counts the launchers of node node7",
    ]
    api.operator.shared = []
    assert await show_contracts(certified, "json") == 2
    matrix = json.loads(capsys.readouterr().out)
    assert matrix["pairings"][0]["versions"] == [] and matrix["launchers"][0]["example"] == "default/ada"


def test_a_launcher_with_which_nobody_can_talk_does_not_make_the_suite_look_broken() -> None:
    def matrix(component: str) -> Matrix:
        caller, server = Side("virt-handler", "0.2.0", 2, 1), Side(component, "x", 0, 1)
        return Matrix([Contract("kubevirt.info", [])], [Pairing("kubevirt.x", caller, server, [], [])], [])

    assert (exit_code(matrix("virt-handler")), exit_code(matrix("virt-launcher"))) == (2, 1)


@pytest.mark.parametrize("command", ["upgrade", "pause", "resume", "rollback", "finalize", "contracts"])
def test_each_command_has_a_help_with_its_statuses(command: str) -> None:
    shown = CliRunner().invoke(virtadm, [command, "--help"])
    assert shown.exit_code == 0 and "Exit status:" in shown.output

"""plan: what is asked of virt-operator, what is shown of the answer, and the statuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from kubevirt.admin.v1 import admin_pb2
from virt_admin.access import Certificate
from virt_admin.outcome import CannotTell
from virt_admin.peers.replica import no_certificate
from virt_admin.preflight.ask import show_plan
from virt_admin.preflight.report import plan_of
from virt_admin.preflight.text import duration, text
from virt_core.rpc.tls import read_files

from .port_server import PortServer, access, serving

REQUEST = admin_pb2.PlanRequest(tag="v0.2.0", registry="registry.example", offline=True)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[PortServer]:
    async with serving(tmp_path) as server:
        yield server


def finding(severity: Any, kind: str, name: str, reason: str, message: str = "m", **more: Any) -> admin_pb2.Finding:
    seconds = more.get("seconds", 0)
    steps = [admin_pb2.PlannedStep(action="act", estimate=Duration(seconds=seconds))] if seconds else []
    subject = admin_pb2.Subject(kind=kind, namespace=more.get("namespace", ""), name=name)
    return admin_pb2.Finding(severity=severity, subject=subject, reason=reason, message=message, steps=steps)


BLOCKING = finding(
    admin_pb2.SEVERITY_BLOCKING, "VirtualMachineInstance", "ada", "NoRoom", "full\x1b[31m", namespace="default"
)
WARNING = finding(admin_pb2.SEVERITY_WARNING, "ValidatingWebhookConfiguration", "others", "WebhookSilent", "slow")
NODES = [
    finding(admin_pb2.SEVERITY_INFO, "Node", f"node{n}", "HandlerReplaced", "waits", seconds=n) for n in range(1, 8)
]
SUMMARY = admin_pb2.PlanSummary(
    operation="Update",
    from_release="0.1.0",
    to_release="0.2.0",
    tag="v0.2.0",
    estimate=Duration(seconds=75),
    probed=True,
)


def stream(*findings: admin_pb2.Finding) -> list[admin_pb2.PlanResponse]:
    return [
        admin_pb2.PlanResponse(progress=admin_pb2.PlanProgress(activity="reading the cluster")),
        *(admin_pb2.PlanResponse(findings=admin_pb2.Findings(findings=[found])) for found in findings),
        admin_pb2.PlanResponse(summary=SUMMARY),
    ]


async def shown(tmp_path: Path, output: str = "text") -> int:
    files = read_files(tmp_path / "alice")
    async with access(tmp_path) as found:
        certified = replace(found, certificate=Certificate(files["tls.crt"], files["tls.key"]))
        return await show_plan(certified, REQUEST, output)


async def test_what_blocks_comes_first_then_warnings_then_what_is_done(
    api: PortServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.operator.planned = stream(BLOCKING, WARNING, *NODES)
    assert await shown(tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "stands in the way:",
        "VirtualMachineInstance default/ada",
        "    NoRoom: full\\u{1b}[31m",
        "warnings:",
        "ValidatingWebhookConfiguration others",
        "    WebhookSilent: slow",
        "what will be done:",
        "Node node1, node2, node3, node4, node5 and 2 more",
        "    HandlerReplaced: waits (7 s)",
        "    - act",
        "Update 0.1.0 → 0.2.0: about 1 min 15 s; 1 in the way, 1 warnings",
    ]
    assert captured.err == "reading the cluster …\n"
    assert api.operator.callers == [b"alice"] and api.operator.plans == [REQUEST]


async def test_json_has_everything(api: PortServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.operator.planned = stream(WARNING, *NODES)
    assert await shown(tmp_path, "json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["exitCode"], printed["fromRelease"], printed["seconds"]) == (1, "0.1.0", 75)
    assert len(printed["findings"]) == 8
    assert printed["findings"][1] == {
        "severity": "info",
        "kind": "Node",
        "namespace": "",
        "name": "node1",
        "reason": "HandlerReplaced",
        "message": "waits",
        "steps": [{"action": "act", "seconds": 1.0}],
        "irreversible": "",
    }


async def test_a_clean_plan_ends_with_0(api: PortServer, tmp_path: Path) -> None:
    api.operator.planned = stream(*NODES)
    assert await shown(tmp_path) == 0


async def test_a_plan_without_a_summary_or_a_permission_is_none(api: PortServer, tmp_path: Path) -> None:
    api.operator.planned = stream()[:1]
    with pytest.raises(CannotTell, match="ended the plan without a summary"):
        await shown(tmp_path)
    api.operator.refusal = 'User "alice" cannot plan resource "kubevirts/admin"'
    with pytest.raises(CannotTell, match='User "alice" cannot plan resource'):
        await shown(tmp_path)


async def test_a_token_is_sent_to_nobody(api: PortServer, tmp_path: Path) -> None:
    async with access(tmp_path) as found:
        with pytest.raises(CannotTell) as refused:
            await show_plan(found, REQUEST, "text")
    assert str(refused.value) == no_certificate("plan")
    assert api.requests == [] and api.operator.callers == []


def test_a_severity_of_a_later_release_blocks() -> None:
    later: Any = admin_pb2.Finding(reason="New")
    later.severity = 9
    plan = plan_of(SUMMARY, [later])
    assert plan.findings[0].severity == "blocking" and plan.exit_code == 2


def test_what_cannot_go_back_and_several_steps_are_listed() -> None:
    several = finding(
        admin_pb2.SEVERITY_INFO, "KubeVirt", "kubevirt", "WillUpdate", "u", namespace="kubevirt", seconds=3
    )
    several.steps.add(action="virt-handler").estimate.FromSeconds(100)
    several.irreversible = "fields stay"
    plan = plan_of(admin_pb2.PlanSummary(operation="Unknown", tag="v9"), [several])
    assert list(text(plan)) == [
        "what will be done:",
        "KubeVirt kubevirt/kubevirt",
        "\tWillUpdate: u (1 min 43 s)",
        "\t- act (3 s)",
        "\t- virt-handler (1 min 40 s)",
        "\tcannot go back: fields stay",
        "change to tag v9: less than 1 s; 0 in the way, 0 warnings, the target's images were not run",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "less than 1 s"), (59.6, "1 min"), (3600, "1 h"), (3725, "1 h 2 min 5 s")]
)
def test_durations_can_be_read(seconds: float, words: str) -> None:
    assert duration(seconds) == words

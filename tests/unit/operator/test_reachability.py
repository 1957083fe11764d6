"""Only failed calls of the webhook by the API server become the operator's trouble."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from virt_core.kube.client import KubeClient
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.instance import parse_spec
from virt_core.vmi.rules.check import check_spec
from virt_operator.webhook.reachability import _PROBE, WebhookReachability

SUITE = ("kubevirt", "kubevirt")
FAILED = 'Internal error occurred: failed calling webhook "{}": failed to call webhook: connection refused'
OURS, ANOTHER = FAILED.format("kubevirt-validator.kubevirt.io"), FAILED.format("policy.example.com")


@dataclass
class Answers:
    """An API server that returns the given responses in order and records requests."""

    statuses: list[tuple[int, str]]
    requests: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path_qs}")
        code, message = self.statuses.pop(0)
        return web.json_response({"kind": "Status", "message": message}, status=code)


@pytest.fixture
async def answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Answers, KubeClient]]:
    answers = Answers(list(request.param))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answers.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path / "kubeconfig", runner.addresses[0][1])))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with KubeClient.connect("test") as client:
        yield answers, client
    await runner.cleanup()


def _kubeconfig(path: Path, port: int) -> Path:
    config = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        ([(500, OURS)], OURS),
        ([(500, ANOTHER)], None),
        ([(200, "")], None),
        ([(403, "admission webhook denied the request")], None),
        ([(404, "not found")], None),
    ],
    indirect=["answers"],
)
async def test_only_a_failed_call_of_our_webhook_is_trouble(
    answers: tuple[Answers, KubeClient], trouble: str | None
) -> None:
    reachability = WebhookReachability.of_operator(answers[1], lambda: SUITE)
    await reachability.ask()
    assert reachability.trouble == trouble
    assert answers[0].requests == ["PATCH /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt?dryRun=All"]


@pytest.mark.parametrize("answers", [[]], indirect=True)
async def test_no_dry_run_is_sent_without_a_kubevirt_object(answers: tuple[Answers, KubeClient]) -> None:
    await WebhookReachability.of_operator(answers[1], lambda: None).ask()
    assert answers[0].requests == []


@pytest.mark.parametrize("answers", [[(500, OURS), (503, "etcd is away"), (200, "")]], indirect=True)
async def test_trouble_stays_while_the_api_server_fails_and_ends_with_an_answer(
    answers: tuple[Answers, KubeClient],
) -> None:
    reachability = WebhookReachability.of_operator(answers[1], lambda: SUITE)
    seen = []
    for _ in range(3):
        await reachability.ask()
        seen.append(reachability.trouble)
    assert seen == [OURS, OURS, None]


VIRT_API = FAILED.format("virtualmachineinstances-create-validator.kubevirt.io")


@pytest.mark.parametrize(
    "answers", [[(500, VIRT_API), (201, ""), (500, VIRT_API), (500, VIRT_API), (201, "")]], indirect=True
)
async def test_webhooks_of_virt_api_are_in_trouble_after_two_failures_in_a_row(
    answers: tuple[Answers, KubeClient],
) -> None:
    reachability = WebhookReachability.of_virt_api(answers[1], lambda: "kubevirt")
    seen = []
    for _ in range(5):
        await reachability.ask()
        seen.append(reachability.trouble)
    assert seen == [None, None, None, VIRT_API, None]
    path = "/apis/kubevirt.io/v1/namespaces/kubevirt/virtualmachineinstances?dryRun=All"
    assert set(answers[0].requests) == {f"POST {path}"}


def test_the_machine_of_the_dry_run_is_accepted_by_admission() -> None:
    check_spec(parse_spec(msgspec.Raw(msgspec.json.encode(_PROBE["spec"]))), Configuration())

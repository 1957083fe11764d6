"""What the page does: commands of VMs, findings of doctor, the plan, requests of the suite. Called by app.py."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from virt_core.conventions.component_pod import METRICS_PORT
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import PODS

from virt_admin.access import Access
from virt_admin.doctor.examine import findings_of
from virt_admin.outcome import CannotTell, NotPossible, WrongArgument
from virt_admin.requests.methods import BY_COMMAND
from virt_admin.ui.actions import ACTIONS
from virt_admin.ui.board import Board, encoded
from virt_admin.ui.statistics import statistics

_PATIENCE = 10.0  # seconds


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a plan or a request."""

    tag: str = ""
    registry: str = ""
    offline: bool = False


async def act(client: KubeClient, namespace: str, name: str, action: str) -> web.Response:
    """Carry out a command of a VM."""
    command = ACTIONS[action]
    await client.put(command.path(namespace, name), command.body)
    return answer({"message": f"{action} of {namespace}/{name} is requested"})


async def diagnose(access: Access, namespace: str, name: str) -> web.Response:
    """Why it does not start, move or stop, as `virtadm doctor` says it."""
    return answer(await findings_of(access, f"{namespace}/{name}"))


async def measure(client: KubeClient, board: Board, namespace: str, name: str) -> web.Response:
    """The guest's statistics; null if it does not run, or its virt-handler is not known yet. The API server reads them
    from there, by the user's right to do that."""
    handler = board.handler_of((namespace, name))
    if handler is None:
        return answer(None)
    path = PODS.path(handler[0], f"https:{handler[1]}:{METRICS_PORT}", "proxy/metrics")
    async with client.stream(path, {}, _PATIENCE) as body:
        text = (await body.read()).decode(errors="replace")
    return answer(statistics(text, namespace, name))


async def plan(request: web.Request, access: Access, target: Target) -> web.StreamResponse:
    """The plan of a change, a line of JSON for each thing that is done meanwhile; the last one has it, or an error."""
    from kubevirt.admin.v1 import admin_pb2  # gRPC is loaded by who needs it

    from virt_admin.preflight.ask import read_plan

    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)

    async def progress(activity: str) -> None:
        await _line(response, {"progress": activity})

    wanted = admin_pb2.PlanRequest(tag=target.tag, registry=target.registry, offline=target.offline)
    try:
        await _line(response, {"plan": await read_plan(access, wanted, progress)})
    except CannotTell as error:
        await _line(response, {"error": str(error)})
    await response.write_eof()
    return response


async def carry_out(access: Access, name: str, target: Target) -> web.Response:
    """Request something of the suite, by the name of virtadm's command."""
    from virt_admin.requests import carry_out as requests
    from virt_admin.requests.wish import Wish

    wish = Wish(BY_COMMAND[name], target.tag, target.registry)
    return answer(await requests.carry_out(access, wish, direct=False))


def answer(value: Any) -> web.Response:
    """As JSON."""
    return web.json_response(text=encoded(value))


def failure(error: CannotTell | KubeError) -> web.Response:
    """The error as the page shows it."""
    message = error.message if isinstance(error, KubeError) and error.message else str(error)
    return web.json_response({"error": message}, status=_status(error))


def _status(error: CannotTell | KubeError) -> int:
    match error:
        case NotPossible():
            return 409
        case WrongArgument():
            return 400
        case KubeError() if error.status >= 400 and error.status != 401:
            return error.status  # 401 is for a page without a session, not for the kubeconfig's credentials
    return 502


async def _line(response: web.StreamResponse, value: Any) -> None:
    await response.write(encoded(value).encode() + b"\n")

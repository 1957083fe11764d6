"""Reviews of VirtualMachineInstanceMigrations: what is read for them, and the answers."""

from __future__ import annotations

import json
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from virt_api.admission.webhooks import webhooks
from virt_api.routes import refusals_as_status
from virt_core.conventions import accounts
from virt_core.conventions.webhooks import (
    MIGRATION_MUTATE,
    MIGRATION_VALIDATE_CREATE,
    MIGRATION_VALIDATE_UPDATE,
    POLICY_VALIDATE,
)
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.patches import json_patch
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

CONFIGURATION: Any = SimpleNamespace(current=Configuration(), unknown="")
OWN = accounts.machine_writers("kubevirt")
API, CONTROLLER, _ = OWN
LONG = "a-name-of-a-virtual-machine-that-is-much-longer-than-sixty-three-letters"


async def review(client: KubeClient, path: str, new: Any, old: Any = None, user: str = "bob") -> tuple[int, Any]:
    """Status and document of the answer to a review."""
    application = Application(middlewares=[refusals_as_status])
    application.router.add_post(path, webhooks(client, CONFIGURATION, OWN)[path])
    request = {"uid": "u", "operation": "UPDATE" if old else "CREATE", "namespace": "ns", "object": new}
    request |= {"oldObject": old, "userInfo": {"username": user}}
    async with TestClient(TestServer(application)) as caller:
        answer = await caller.post(path, json={"apiVersion": "admission.k8s.io/v1", "request": request})
        document = await answer.json()
        return answer.status, document.get("response", document)


async def refusal(client: KubeClient, new: Any, user: str = "bob") -> tuple[int, str]:
    """Code and message of the refusal of a new migration; (0, ""): it is admitted."""
    status, response = await review(client, MIGRATION_VALIDATE_CREATE, new, user=user)
    assert status == 200
    return (0, "") if response["allowed"] else (response["status"]["code"], response["status"]["message"])


def migration(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"generateName": "kubevirt-migrate-vm-"}, "spec": {"vmiName": name, **spec}}


def put_vmi(server: FakeApiServer, name: str = "web") -> None:
    server.put(VIRTUAL_MACHINE_INSTANCES.path("ns"), {"metadata": {"name": name}, "status": {"phase": "Running"}})


@pytest.mark.parametrize("name", ["web", LONG])
async def test_one_migration_of_a_guest_at_a_time_is_admitted(
    server: FakeApiServer, client: KubeClient, name: str
) -> None:
    missing = await refusal(client, migration(name))
    assert missing == (400, f'the VMI "ns/{name}" does not exist')
    put_vmi(server, name)
    assert await refusal(client, migration(name)) == (0, "")
    _, response = await review(client, MIGRATION_MUTATE, migration(name))
    stored = json_patch(migration(name), json.loads(b64decode(response["patch"])))
    path = VIRTUAL_MACHINE_INSTANCE_MIGRATIONS.path("ns")
    created = server.put(path, {**stored, "status": {"phase": "Running"}})
    code, message = await refusal(client, migration(name))
    assert code == 400 and message.startswith(
        f"in-flight migration detected. Active migration job ({created['metadata']['uid']})"
    )
    put_vmi(server, "another")
    assert await refusal(client, migration("another")) == (0, "")
    server.patch(f"{path}/{created['metadata']['name']}", {"status": {"phase": "Failed"}})
    assert await refusal(client, migration(name)) == (0, "")


async def test_a_wrong_field_is_refused_without_a_verdict_about_the_guest(
    server: FakeApiServer, client: KubeClient
) -> None:
    code, message = await refusal(client, migration("Web!"))
    assert code == 422 and message.startswith("spec.vmiName: 'Web!'") and server.requests == []
    code, message = await refusal(client, migration(sendTo={"migrationID": "m"}))
    assert code == 422 and "spec.sendTo: is not supported by this release" in message


@pytest.mark.parametrize(("user", "code"), [(CONTROLLER, 0), (API, 422), ("bob", 422)])
async def test_only_virt_controller_sets_a_priority(
    server: FakeApiServer, client: KubeClient, user: str, code: int
) -> None:
    put_vmi(server)
    assert (await refusal(client, migration(priority="system-critical"), user))[0] == code


async def test_nothing_is_admitted_while_the_guest_cannot_be_read(server: FakeApiServer, client: KubeClient) -> None:
    put_vmi(server)

    def busy(method: str, place: Place) -> None:
        raise Refused(503, "ServiceUnavailable", f"{method} {place.plural}: busy")

    server.fault = busy
    status, document = await review(client, MIGRATION_VALIDATE_CREATE, migration())
    assert status == 503 and "busy" in document["message"]


async def test_updates_and_policies_are_reviewed_without_a_request(server: FakeApiServer, client: KubeClient) -> None:
    _, response = await review(client, MIGRATION_VALIDATE_UPDATE, migration("db"), migration("web"))
    assert "update of Migration object's spec is restricted" in response["status"]["message"]
    wrong = {"metadata": {"name": "p"}, "spec": {"completionTimeoutPerGiB": -1}}
    _, response = await review(client, POLICY_VALIDATE, wrong)
    assert response["status"]["message"] == "spec.completionTimeoutPerGiB: -1 is negative, allowed are seconds from 0"
    _, response = await review(client, POLICY_VALIDATE, wrong, wrong)
    assert response["allowed"] and server.requests == []


@pytest.mark.parametrize("new", [None, {}, {"spec": None}, {"metadata": None, "spec": []}, {"spec": {"vmiName": {}}}])
@pytest.mark.parametrize(
    "path", [MIGRATION_MUTATE, MIGRATION_VALIDATE_CREATE, MIGRATION_VALIDATE_UPDATE, POLICY_VALIDATE]
)
async def test_no_migration_is_too_odd_for_an_answer(client: KubeClient, path: str, new: Any) -> None:
    assert (await review(client, path, new, new))[0] == 200

"""Any change, addition or removal in the owned parts of any object of the suite is reverted within seconds.

Each round edits every object at one random place, through the API server's own validation: an edit that it refuses
cannot happen. `make test` runs a few rounds, `make test-all` runs enough to reach most fields.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, Forbidden, Invalid, KubeError
from virt_core.objects.patch import pointer
from virt_operator.strategy.ref import DEFINED, FOREIGN, KINDS, MANAGED_BY_OPERATOR, Ref
from virt_operator.suite.observed import PARTS

from tests.e2e.audit import requests
from tests.e2e.cluster import NAMESPACE, get, until, wait
from tests.e2e.guests import manifest, running
from tests.support.patience import PATIENCE

REPAIRED_WITHIN = 60.0  # seconds, for all objects of one round together, on a busy machine
QUIET = 20.0  # seconds in which nothing more is written
SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY_OPERATOR}"
# Certificates and printed strategies are not written from the strategy; what a release added to a definition stays.
# Kinds of the Prometheus operator are not there.
OTHERWISE = ("Secret", "ConfigMap", "Job", *FOREIGN)
GROWS = "CustomResourceDefinition"
FREE = ("clusterIP", "clusterIPs")  # allocated again when the Service is recreated
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Edit:
    """One operation on one object."""

    ref: Ref
    operation: Json

    def __str__(self) -> str:
        return f"{self.ref}: {self.operation['op']} {self.operation['path']}"


def places(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below `path`, leaves and collections."""
    yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from places(below, (*path, key))
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from places(below, (*path, str(index)))


def edits(ref: Ref, body: Json) -> list[Edit]:
    """Every leaf changed, every entry removed, an entry added to every collection."""
    found = []
    for part in PARTS:
        for path, value in places(body.get(part), (part,)) if part in body else ():
            where = pointer(*path)
            if len(path) > 1:
                found.append({"op": "remove", "path": where})
            if isinstance(value, dict):
                if ref.kind != GROWS:
                    found.append({"op": "add", "path": f"{where}/edited", "value": "edited"})
            elif isinstance(value, list):
                found += [{"op": "add", "path": f"{where}/-", "value": entry} for entry in added(value)]
            else:
                found.append({"op": "replace", "path": where, "value": changed(value)})
    return [Edit(ref, operation) for operation in found]


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return f"{value}x"


def added(value: list[Any]) -> list[Any]:
    """An entry like the first under another name, and a plain one."""
    if not value or not isinstance(value[0], dict):
        return ["edited"]
    entry = copy.deepcopy(value[0])
    for key, number in (("name", "edited"), ("port", 9999), ("containerPort", 9998), ("mountPath", "/edited")):
        if key in entry:
            entry[key] = number
    return [entry, {"name": "edited", "value": "1"}]


async def owned(client: KubeClient) -> dict[Ref, Json]:
    found = {}
    for kind, resource in KINDS.items():
        if kind not in OTHERWISE:
            for body in await client.list(resource, None, labels=SELECTOR, limit=500):
                meta = body["metadata"]
                found[Ref(kind, meta.get("namespace", ""), meta["name"])] = body
    return found


def parts(body: Json) -> Json:
    """What must come back. `kubectl rollout restart` of another test stays, and is not repeated."""
    found = {part: copy.deepcopy(body[part]) for part in PARTS if part in body}
    spec = found.get("spec")
    if isinstance(spec, dict):
        for key in FREE:
            spec.pop(key, None)
        annotations = spec.get("template", {}).get("metadata", {}).get("annotations", {})
        annotations.pop("kubectl.kubernetes.io/restartedAt", None)
    return found


async def edit(client: KubeClient, ref: Ref, body: Json, chance: random.Random) -> Edit | None:
    """The first edit, in random order, that the API server takes and that changes the parts."""
    possible = edits(ref, body)
    chance.shuffle(possible)
    for tried in possible[:40]:
        try:
            answer = await client.json_patch(ref.resource, ref.namespace or None, ref.name, [tried.operation])
        except (Invalid, Forbidden, Conflict):
            continue
        if parts(answer) != parts(body):
            return tried
    return None


async def different(client: KubeClient, before: dict[Ref, Json]) -> list[Ref]:
    now = await owned(client)
    return [ref for ref, body in before.items() if ref not in now or parts(now[ref]) != parts(body)]


async def repaired(client: KubeClient, before: dict[Ref, Json]) -> list[Ref]:
    """Those that are not as before when the time is over."""
    left = list(before)
    try:
        async with asyncio.timeout(REPAIRED_WITHIN):
            while left:
                try:
                    left = await different(client, before)
                except KubeError:
                    continue  # an APIService of ours is broken: discovery may fail for a moment
    except TimeoutError:
        pass
    return left


async def admitted_again(client: KubeClient, ref: Ref) -> None:
    """Until virt-api reviews a change of that object: its pods may be new since the round before."""
    edit = {"op": "add", "path": "/metadata/labels/reviewed", "value": "yes"}
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.json_patch(ref.resource, ref.namespace or None, ref.name, [edit], dry_run=True)
                return
            except KubeError:
                await asyncio.sleep(0.5)


@pytest.mark.parametrize("rounds", [pytest.param(3, id="sample"), pytest.param(60, id="most", marks=pytest.mark.slow)])
async def test_any_edit_of_any_object_is_undone(rounds: int) -> None:
    chance = random.Random(rounds)
    made: list[Edit] = []
    with running(manifest("any-field")) as (guest,):
        async with KubeClient.connect("drift-test") as client:
            for _ in range(rounds):
                before = await owned(client)
                await admitted_again(client, next(ref for ref in before if ref.kind in DEFINED))
                # Those that virt-api admits come first: the other edits break it.
                admitted = {ref: body for ref, body in before.items() if ref.kind in DEFINED}
                others = {ref: body for ref, body in before.items() if ref.kind not in DEFINED}
                done = await asyncio.gather(*(edit(client, ref, body, chance) for ref, body in admitted.items()))
                done += await asyncio.gather(*(edit(client, ref, body, chance) for ref, body in others.items()))
                these = [edit for edit in done if edit is not None]
                made += these
                left = await repaired(client, before)
                assert not left, [str(edit) for edit in these if edit.ref in left]
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
        assert guest.phase == "Running"
    print(f"{len(made)} edits undone:", *made, sep="\n  ")
    assert {edit.ref for edit in made} >= {ref for ref in before if ref.kind not in ("ServiceAccount",)}


def test_a_suite_that_is_as_desired_is_not_written() -> None:
    wait("kv", "kubevirt", "condition=Progressing=false", namespace=NAMESPACE)
    began = datetime.now(UTC)
    until(lambda: renewed_after(began + timedelta(seconds=QUIET)), "the leader to renew its lease", 2 * QUIET)
    writes = [
        str(request)
        for request in requests(began)
        if request.account.endswith("operator") and request.verb not in ("get", "list", "watch")
        if request.resource not in ("leases", "selfsubjectrulesreviews") and "dryRun=All" not in request.path
    ]
    assert writes == []


def renewed_after(moment: datetime) -> bool:
    """Whether the operator's leader has been at work so long."""
    renewal = get("lease", "virt-operator", "-n", NAMESPACE)["spec"]["renewTime"]
    return datetime.fromisoformat(renewal) > moment

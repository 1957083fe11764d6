"""What strangers do to an object of the suite. Called by world.py."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from virt_core.conventions import labels
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_operator.strategy.ref import KINDS, MANAGED_BY_OPERATOR, Ref

FOREIGN = "kubevirt-of-a-newer-release"
"""Name of an object that the operator may not delete."""


class Cluster(Protocol):
    """The world that they live in."""

    server: FakeApiServer

    @property
    def owned(self) -> Mapping[Ref, Any]: ...


def edit(chance: random.Random, body: Any, key: Any, *, definition: bool) -> None:
    """Go down from `body[key]`, and change, remove or add there. Only definitions may grow (change/growth.py)."""
    deed = chance.choice(("change", "remove", "add"))
    for _ in range(chance.randint(1, 8)):
        inner = body[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        place = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if deed == "add" and not isinstance(inner[place], dict | list):
            break
        body, key = inner, place
    value = body[key]
    match deed:
        case "add" if isinstance(value, dict) and not definition:
            value["added"] = "by somebody"
        case "add" if isinstance(value, list) and not definition:
            value.append(value[0] if value else "added")
        case "remove" if not isinstance(body, list):
            del body[key]
        case _ if isinstance(value, str):
            body[key] = value + "x"
        case _ if isinstance(value, int) and not isinstance(value, bool):
            body[key] = value + 1
        case _ if isinstance(value, bool):
            body[key] = not value


def drift(world: Cluster, chance: random.Random) -> None:
    """Delete an object of the suite, or change it at any depth."""
    spared = ("ConfigMap", "Job", "ServiceAccount")
    refs = sorted(ref for ref in world.owned if ref.kind not in spared and ref.name != FOREIGN)
    if not refs:
        return
    ref = chance.choice(refs)
    place = Place.parse(unquote(ref.resource.path(ref.namespace or None, ref.name)))
    if chance.random() < 0.3 and ref.kind != "CustomResourceDefinition":
        world.server.store.remove(place)
        return
    body = json.loads(json.dumps(world.server.store.get(place)))
    parts = [key for key in body if key not in ("metadata", "status", "kind", "apiVersion", "type")]
    if parts:
        edit(chance, body, chance.choice(parts), definition=ref.kind == "CustomResourceDefinition")
        operations = [{"op": "add", "path": f"/{key}", "value": body[key]} for key in parts if key in body]
        operations += [{"op": "remove", "path": f"/{key}"} for key in parts if key not in body]
        world.server.store.json_patch(place, operations)


def leave_foreign(server: FakeApiServer) -> None:
    """An object of a newer release that this operator may not delete."""
    meta = {"name": FOREIGN, "labels": {labels.MANAGED_BY: MANAGED_BY_OPERATOR}}
    resource = KINDS["ValidatingAdmissionPolicy"]
    if not server.store.select(Place.parse(resource.path()), lambda body: body["metadata"]["name"] == FOREIGN):
        server.put(resource.path(), {"metadata": meta, "spec": {}})

"""An administrator, who does what the conditions of the KubeVirt object say."""

from __future__ import annotations

import json
import shlex
from urllib.parse import unquote

from virt_core.conventions.labels import RETRY_UPGRADE
from virt_core.testing.place import Place
from virt_operator.suite.plan import Plan

from .world import World


def follow(world: World, decided: Plan) -> None:
    """Mend the roles that virt-operator may not write, and try again what has stopped and is mended."""
    if decided.stopped is not None and not decided.operation and not (world.probes.broken or world.unready):
        world.annotate(RETRY_UPGRADE, world.now.isoformat())
    for wait in decided.waits:
        ref = next((ref for ref in world.owned if str(ref) == wait.what), None)
        if ref is None or "virt-operator may not add it" not in wait.why:
            continue
        path = unquote(ref.resource.path(ref.namespace or None, ref.name))
        _, runs, command = wait.why.partition("; run ")
        if runs:
            world.server.store.json_patch(Place.parse(path), json.loads(shlex.split(command)[-1]))
        else:
            assert "or delete the role" in wait.why
            world.server.remove(path)

"""What the images of releases print in a test. Pure; used by world.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from virt_operator.strategy.install_strategy import InstallStrategy, strategy_of, to_config_map
from virt_operator.strategy.job import DEPLOYMENT_ID, INSTALL_SETTINGS
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings


def release_of(tag: str) -> str:
    """The release behind a tag: tags are names."""
    return {"prod-41": "v1.3.0", "blue": "v1.2.0"}.get(tag, tag)


def printed(settings: InstallSettings, deployment_id: str) -> InstallStrategy:
    """What the image of a release prints; of the definitions only what the operator looks at."""
    strategy = strategy_of(settings, deployment_id, release_of(settings.tag))
    return msgspec.structs.replace(strategy, objects=[_lean(body) for body in strategy.objects])


def _lean(body: Body) -> Body:
    if body["kind"] != "CustomResourceDefinition":
        return body
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{**version, "schema": schema} for version in body["spec"]["versions"]]
    return {**body, "spec": {**body["spec"], "versions": versions}}


def config_map_of(
    job: Body, kinds: Collection[str], levels: Mapping[str, int], unmonitored: Collection[str] = ()
) -> Body:
    """What the Job writes: the objects of these kinds only, of all if there are none. `levels` are the feature levels
    of releases that have another one than this tree; those `unmonitored` have no objects for Prometheus."""
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    values = {variable["name"]: variable.get("value", "") for variable in env}
    settings = InstallSettings.from_json(values[INSTALL_SETTINGS])
    strategy = printed(settings, values[DEPLOYMENT_ID])
    objects = [body for body in strategy.objects if not kinds or body["kind"] in kinds]
    level = levels.get(strategy.release, strategy.feature_level)
    strategy = msgspec.structs.replace(strategy, objects=objects, feature_level=level)
    if strategy.release in unmonitored:
        strategy = msgspec.structs.replace(strategy, monitoring=[])
    return to_config_map(strategy, settings)

"""Makes the plan of a change: read, probe, judge. Called by the admin port's servicer; the only caller of the effects.

    async for step in check(client, operator, Request("v1.3.0")):
        …  # texts of what it does now, then one Answer

Changes nothing but what probe.py creates and deletes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from virt_core.kube.client import KubeClient

from virt_operator.customization.customize import customized
from virt_operator.customization.patches import patches_of
from virt_operator.preflight import stored
from virt_operator.preflight.observed import Cluster, Question, Target
from virt_operator.preflight.plan import Answer, plan
from virt_operator.preflight.probe import probe
from virt_operator.preflight.read import read_cluster, read_stored
from virt_operator.settings import Settings
from virt_operator.suite.spec import RefusedSpec, install_settings


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    tag: str
    registry: str = ""
    """ "": as the KubeVirt object has it."""

    offline: bool = False


async def check(client: KubeClient, operator: Settings, request: Request) -> AsyncGenerator[str | Answer, None]:
    """What it does, step by step, and the answer last.

    Raises:
        KubeError: the API server refuses or does not answer.
    """
    yield "reading the cluster"
    cluster = await read_cluster(client, operator)
    question, target = _question(cluster, operator, request), Target()
    settings, installed = question.settings, cluster.suite.status.observed_deployment_id if cluster.suite else ""
    if settings is not None and settings.deployment_id == installed:
        target = Target(cluster.installed)
    elif settings is not None and not request.offline:
        yield f"running the images of {settings.tag}"
        target = await probe(client, settings)
    if target.strategy is not None:
        question = _customizable(question, cluster, target)
        if names := stored.reduced(cluster.definitions, target.strategy):
            yield "reading stored objects"
            cluster = replace(cluster, stored=await read_stored(client, names))
    count = f"{len(cluster.nodes)} nodes, {len(cluster.guests)} guests and {len(cluster.machines)} VMs"
    yield f"examining {count}"
    found = await asyncio.to_thread(plan, cluster, question, target)  # a second for ten thousand guests
    yield Answer(found, question, target, cluster.suite.status.observed_release if cluster.suite else "")


def _question(cluster: Cluster, operator: Settings, request: Request) -> Question:
    """The settings that the KubeVirt object would ask for with the target's tag."""
    spec = cluster.suite.spec if cluster.suite is not None else {}
    registry = request.registry or spec.get("imageRegistry") or operator.registry
    try:
        settings = install_settings({**spec, "imageTag": request.tag, "imageRegistry": registry}, operator)
    except RefusedSpec as refused:
        return Question(None, request.tag, registry, str(refused))
    return Question(settings, request.tag, registry)


def _customizable(question: Question, cluster: Cluster, target: Target) -> Question:
    """The question, with the refusal of a patch of customizeComponents that does not fit the target's objects."""
    assert target.strategy is not None
    try:
        patches = patches_of(cluster.suite.spec if cluster.suite is not None else {})
        customized(target.strategy.objects, patches)
    except RefusedSpec as refused:
        return replace(question, refusal=str(refused))
    return question

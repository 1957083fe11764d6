"""Fake nodes and their kubelets, which kwok plays: Leases and heartbeats, pods that run and that end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from localcluster import clients
from localcluster.settings import Cluster
from virt_core.conventions import labels
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.resource import NODES
from virt_core.objects.meta import rfc3339

from tests.bench.scale.control_plane import KWOK, ControlPlane
from tests.bench.scale.crowd import each

MANAGED = "kwok"
"""Label of nodes whose kubelet lives. Without it kwok forgets the node, and nobody renews its Lease."""

_READY_AFTER, _ENDS_AFTER = 1000, 700  # milliseconds, a kubelet's: until it reports Ready, until a guest has shut down
_HEARTBEAT_SECONDS = 60.0
_RUNNING = """
conditions:
{{ range (list "Initialized" "Ready" "ContainersReady" "PodReadyToStartContainers") }}
- lastTransitionTime: {{ Now | Quote }}
  status: "True"
  type: {{ . | Quote }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  name: {{ .name | Quote }}
  ready: true
  restartCount: 0
  started: true
  state:
    running:
      startedAt: {{ Now | Quote }}
{{ end }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false ( or .metadata.uid "" ) .metadata.name .metadata.namespace | Quote }}
phase: Running
startTime: {{ Now | Quote }}
"""
_ENDED = """
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  imageID: "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  name: {{ .name | Quote }}
  ready: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      finishedAt: {{ Now | Quote }}
      startedAt: {{ Now | Quote }}
{{ end }}
phase: Succeeded
"""


def start(plane: ControlPlane, cluster: Cluster) -> None:
    """Start kwok, without nodes yet."""
    binary = clients.ensure(clients.KWOK, cluster)
    configuration = plane.folder / "kwok.yaml"
    configuration.write_text("\n---\n".join(json.dumps(body) for body in (_options(), *_stages())))
    plane.parts.start(
        KWOK,
        [
            str(binary),
            f"--kubeconfig={plane.kubeconfig(KWOK)}",
            f"--config={configuration}",
            f"--manage-nodes-with-label-selector={MANAGED}=true",
            "--node-lease-duration-seconds=40",
            "--server-address=127.0.0.1:26449",
        ],
    )


async def create_nodes(client: KubeClient, count: int) -> None:
    """Nodes whose virt-handler has just reported."""

    async def create(number: int) -> None:
        await client.create(NODES, None, _node(number))

    await each(create, range(count))


async def heartbeats(client: KubeClient, count: int) -> None:
    """Each minute's heartbeat of every virt-handler, until cancelled. Nodes that are gone have none."""

    async def beat(number: int) -> None:
        body = {"metadata": {"annotations": {labels.HEARTBEAT: rfc3339(datetime.now(UTC))}}}
        with suppress(NotFound):
            await client.merge_patch(NODES, None, node_name(number), body)

    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        await each(beat, range(count))


async def abandon(client: KubeClient, names: list[str]) -> None:
    """The kubelets of these nodes die."""

    async def leave(name: str) -> None:
        await client.merge_patch(NODES, None, name, {"metadata": {"labels": {MANAGED: None}}})

    await each(leave, names)


def node_name(number: int) -> str:
    """A node's name."""
    return f"fake{number:04}"


def _node(number: int) -> dict[str, Any]:
    name = node_name(number)
    room = {
        "cpu": "1000",
        "memory": "4Ti",
        "pods": "1000",
        "devices.kubevirt.io/kvm": "1k",
        "devices.kubevirt.io/tun": "1k",
    }
    meta = {
        "name": name,
        "labels": {
            MANAGED: "true",
            labels.SCHEDULABLE: "true",
            "kubernetes.io/hostname": name,
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
        },
        "annotations": {labels.HEARTBEAT: rfc3339(datetime.now(UTC))},
    }
    return {"metadata": meta, "status": {"allocatable": room, "capacity": room}}


def _options() -> dict[str, Any]:
    options = {"podPlayStageParallelism": 16, "nodePlayStageParallelism": 4, "enableCRDs": []}
    return {"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "options": options}


def _stages() -> list[dict[str, Any]]:
    """Of pods; those of nodes are kwok's own."""
    lives, ends = _is(".metadata.deletionTimestamp", "DoesNotExist"), _is(".metadata.deletionTimestamp", "Exists")
    return [
        _stage("pod-runs", _READY_AFTER, [lives, _is(".status.podIP", "DoesNotExist")], {"statusTemplate": _RUNNING}),
        _stage("pod-ends", _ENDS_AFTER, [ends, _is(".status.phase", "NotIn", "Succeeded")], {"statusTemplate": _ENDED}),
        _stage("pod-goes", 0, [ends, _is(".status.phase", "In", "Succeeded")], {"delete": True}),
    ]


def _is(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _stage(name: str, milliseconds: int, matches: list[dict[str, Any]], following: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {"matchExpressions": matches},
        "next": following,
    }
    if milliseconds:
        spec["delay"] = {"durationMilliseconds": milliseconds}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}

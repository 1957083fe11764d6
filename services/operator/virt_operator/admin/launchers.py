"""The launchers of all nodes by build. Pure; called by contracts.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from kubevirt.admin.v1 import admin_pb2

from virt_operator.peers.answer import Info, LauncherBuild, NodeLaunchers

_BUILDS = 20  # a release has one; those of hostile launchers may have 40 kB each, and an answer 4 MiB at most


def most_frequent(counted: Iterable[NodeLaunchers]) -> list[NodeLaunchers]:
    """Without the builds beyond the most frequent ones, whose launchers count as others."""
    nodes, counts = list(counted), Counter[Info]()
    for of_node in nodes:
        for build in of_node.builds:
            counts[build.info] += build.count
    shown = {info for info, _ in counts.most_common(_BUILDS)}
    return [_only(of_node, shown) for of_node in nodes]


def _only(of_node: NodeLaunchers, shown: set[Info]) -> NodeLaunchers:
    builds = tuple(build for build in of_node.builds if build.info in shown)
    hidden = sum(build.count for build in of_node.builds if build.info not in shown)
    return replace(of_node, builds=builds, others=of_node.others + hidden)


def launchers_message(counted: Iterable[NodeLaunchers]) -> list[admin_pb2.Launchers]:
    """By build, the most frequent first."""
    builds: dict[Info, list[LauncherBuild]] = {}
    for of_node in counted:
        for build in of_node.builds:
            builds.setdefault(build.info, []).append(build)
    messages = []
    for info, alike in builds.items():
        namespace, name = min(build.example for build in alike)
        message = admin_pb2.Launchers(
            release=info.release,
            feature_level=info.feature_level,
            contracts=sorted(info.contracts),
            features=sorted(info.features),
            count=sum(build.count for build in alike),
            example_namespace=namespace,
            example_name=name,
        )
        messages.append(message)
    return sorted(messages, key=lambda message: (-message.count, message.release, message.feature_level))

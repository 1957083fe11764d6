"""The launchers of all nodes by build. Pure; called by contracts.py."""

from __future__ import annotations

from collections.abc import Iterable

from kubevirt.admin.v1 import admin_pb2

from virt_operator.peers.answer import Info, LauncherBuild, NodeLaunchers


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

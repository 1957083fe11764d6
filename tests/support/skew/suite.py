"""The servers of one release as processes, with the packages of its tree, beside a fake API server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcluster.releases import tree
from virt_core.conventions.node_certificate import dns_names
from virt_core.rpc.tls import write_files
from virt_operator.certificates.issue import KeyPair, new_leaf

from tests.support.probes import free_port

HERE = Path(__file__).parent
NAMESPACE, NODE = "kubevirt", "node1"
INFO, HANDLER = "kubevirt.info.v1.InfoService", "kubevirt.handler.v1"
CALLS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    (
        "virt-handler",
        "virt-launcher",
        (INFO, "kubevirt.launcher.v1.LauncherService"),
    ),
    ("virt-handler", "virt-launcher", ("kubevirt.launcher.v1.MigrationService",)),
    ("virt-api", "virt-handler", (f"{HANDLER}.HandlerService",)),
    ("virt-operator", "virt-handler", (INFO, f"{HANDLER}.ProbeService")),
    ("virt-operator", "virt-operator", (INFO, "kubevirt.admin.v1.AdminService")),
    ("virt-operator", "virt-api", (INFO,)),
    ("virt-operator", "virt-controller", (INFO,)),
)
"""Who calls whom, and which services. The last caller but two stands for people's tools."""


@dataclass(frozen=True, slots=True)
class Release:
    """A tree with the whole suite."""

    name: str
    source: Path

    def python(self, component: str, *argv: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment of Python with the component's packages, and with the doubles of the tree's tests."""
        environment = dict(tree.environment(self.source))
        environment["PYTHONPATH"] += f"{os.pathsep}{self.source}"
        return [sys.executable, "-P", *argv], environment


@dataclass
class Suite:
    """The servers of a release. Each has a certificate of the same authority."""

    release: Release
    folder: Path
    authority: KeyPair
    kubeconfig: Path
    stack: AsyncExitStack
    ports: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)
    """Ports of metrics by component; a release may have none there."""

    launchers: int = 0
    processes: list[tuple[str, asyncio.subprocess.Process]] = field(default_factory=list)
    """Each with its log."""

    def ended(self) -> dict[str, str]:
        """The end of the log of each process that has failed."""
        failed = [Path(log) for log, process in self.processes if process.returncode]
        return {str(log): log.read_text()[-2000:] for log in failed}

    async def start(self) -> None:
        """All but launchers, which are one for each machine."""
        for component in ("virt-operator", "virt-api", "virt-controller"):
            await self._start(component, ["-m", component.replace("-", "_")])
        folders = {name: str(self.folder / name) for name in ("kubelet_pods", "device_plugins", "trust")}
        for folder in folders.values():
            Path(folder).mkdir()
        write_files(Path(folders["trust"]), {"ca.crt": self.authority.bundle, "issuing.json": b""})
        self.ports["virt-handler"], self.metrics["virt-handler"] = free_port(), free_port()
        settings = {
            "namespace": NAMESPACE,
            "pod_name": "virt-handler-x",
            "node": NODE,
            **folders,
            "certificates": str(self.certificates("virt-handler", dns_names(NODE, NAMESPACE))),
            "rpc_port": self.ports["virt-handler"],
            "health_port": free_port(),
            "metrics_port": self.metrics["virt-handler"],
        }
        await self._run("virt-handler", [str(HERE / "handler.py"), json.dumps(settings)], {})

    async def launcher(self) -> str:
        """The target of a new launcher."""
        self.launchers += 1
        folder = self.folder / f"launcher{self.launchers}"
        folder.mkdir()
        await self._run("virt-launcher", [str(HERE / "launcher.py"), str(folder)], {})
        return f"unix:{folder}/sock"

    def certificates(self, component: str, names: tuple[str, ...] = ()) -> Path:
        """A folder with a leaf of the component."""
        folder = self.folder / component
        folder.mkdir(exist_ok=True)
        names = names or (f"{component}.{NAMESPACE}.svc",)
        leaf = new_leaf(self.authority, f"kubevirt.io:system:{component}", names, datetime.now(UTC))
        write_files(folder, {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": leaf.bundle})
        return folder

    async def servers(self) -> list[dict[str, Any]]:
        """What client.py reads."""
        found = []
        for role, component, services in CALLS:
            if component == "virt-launcher":
                found.append({"target": await self.launcher(), "services": services})
                continue
            folder = self.folder / f"as-{role}"
            if not folder.exists():
                certificates = self.certificates(role)
                folder.symlink_to(certificates)
            target = f"127.0.0.1:{self.ports[component]}"
            name = f"{component}.{NAMESPACE}.svc"
            found.append({"target": target, "services": services, "certificates": str(folder), "name": name})
        return found

    async def _start(self, component: str, argv: list[str]) -> None:
        self.ports[component], metrics, https = free_port(), free_port(), free_port()
        self.metrics[component] = https if component == "virt-api" else metrics
        environment = {
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": f"{component}-x",
            "VIRT_CERTIFICATES": str(self.certificates(component)),
            "VIRT_RPC_LISTENS_ON": str(self.ports[component]),
            "VIRT_HEALTH_LISTENS_ON": str(free_port()),
            "VIRT_METRICS_LISTENS_ON": str(metrics),
            "VIRT_HTTPS_LISTENS_ON": str(https),
            "VIRT_OPERATOR_IMAGE": "registry.test/virt-operator:0.1.0",
            "VIRT_LAUNCHER_IMAGE": "registry.test/virt-launcher:0.1.0",
        }
        await self._run(component, argv, environment)

    async def _run(self, component: str, argv: list[str], more: Mapping[str, str]) -> None:
        command, environment = self.release.python(component, *argv)
        environment |= {"KUBECONFIG": str(self.kubeconfig), **more}
        log = self.stack.enter_context((self.folder / f"{component}.log").open("ab"))
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        self.stack.push_async_callback(_end, process)
        self.processes.append((log.name, process))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def call(release: Release, servers: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """The outcomes of every RPC of the release's contracts at those servers, by server and RPC."""
    command, environment = release.python("virt-api", str(HERE / "client.py"))
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate(json.dumps(servers).encode())
    finally:
        await _end(process)
    assert process.returncode == 0, f"client of {release.name}"
    found: dict[str, dict[str, list[str]]] = {}
    for (_, component, _), outcomes in zip(CALLS, json.loads(output), strict=True):
        found |= {f"{component} {rpc}": result for rpc, result in outcomes.items()}
    return found

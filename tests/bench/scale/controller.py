"""virt-controller as a plain process of the bench: started, killed, and asked for its metrics."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
import urllib.request
from dataclasses import dataclass

from localcluster import pki
from virt_core.conventions import certificate_files, component_pod, components, environment

from tests.bench.scale.control_plane import ADDRESS, ControlPlane
from tests.bench.scale.latency import Buckets, buckets

NAMESPACE = "kubevirt"
_RPC_PORT, _HEALTH_PORT, _METRICS_PORT = 26450, 26451, 26452
_READY_SECONDS, _PAUSE = 120.0, 0.01
_NAME = components.CONTROLLER


@dataclass(frozen=True, slots=True)
class Controller:
    """The only replica."""

    plane: ControlPlane

    async def start(self) -> float:
        """Start it; returns the seconds until it has read the whole cluster."""
        folder = self.plane.folder / "certificates"
        self._write_certificates()
        began = time.monotonic()
        self.plane.parts.start(
            _NAME,
            [sys.executable, "-OO", "-m", "virt_controller"],
            {
                "KUBECONFIG": str(self.plane.kubeconfig(_NAME)),
                environment.POD_NAMESPACE: NAMESPACE,
                environment.POD_NAME: "virt-controller-bench",
                environment.LAUNCHER_IMAGE: "registry.example/virt-launcher:bench",
                environment.CERTIFICATES: str(folder),
                environment.RPC_LISTENS_ON: str(_RPC_PORT),
                environment.HEALTH_LISTENS_ON: str(_HEALTH_PORT),
                environment.METRICS_LISTENS_ON: str(_METRICS_PORT),
                "PYTHONDONTWRITEBYTECODE": "",  # an image has its modules compiled
            },
        )
        while not await asyncio.to_thread(_is_synced):
            if time.monotonic() - began > _READY_SECONDS or not self.plane.parts.all_alive():
                raise RuntimeError(f"virt-controller does not become ready, see {self.plane.parts.log(_NAME)}")
            await asyncio.sleep(_PAUSE)
        return time.monotonic() - began

    async def restart(self) -> float:
        """Kill it and start it; returns the seconds until it has read the whole cluster."""
        self.plane.parts.kill(_NAME)
        return await self.start()

    @property
    def memory(self) -> dict[str, float]:
        """Its resident memory in MB, now and at most."""
        return self.plane.parts.memory(_NAME)

    async def waits(self) -> dict[str, Buckets]:
        """By queue, how long keys have waited, from its own metrics."""
        return buckets(await asyncio.to_thread(_metrics), "kubevirt_workqueue_queue_duration_seconds")

    def _write_certificates(self) -> None:
        folder, authority = self.plane.folder / "certificates", self.plane.folder / "pki"
        folder.mkdir(exist_ok=True)
        pki.issue(authority, "leaf", f"kubevirt.io:system:{_NAME}", None)
        for name, source in (
            (certificate_files.LEAF, "leaf.crt"),
            (certificate_files.KEY, "leaf.key"),
            (certificate_files.BUNDLE, "ca.crt"),
        ):
            (folder / name).write_bytes((authority / source).read_bytes())


def _is_synced() -> bool:
    try:
        url = f"http://{ADDRESS}:{_HEALTH_PORT}{component_pod.HEALTH_PATH}"
        with urllib.request.urlopen(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _metrics() -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"https://{ADDRESS}:{_METRICS_PORT}{component_pod.METRICS_PATH}"
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:
        text: str = answer.read().decode()
    return text

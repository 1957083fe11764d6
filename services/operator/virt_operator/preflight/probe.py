"""Runs the target's images and reads what they print. Called by check.py; the decisions are in jobs.py.

Everything that is created has the label PLAN and is deleted before `probe` returns. The ConfigMap is written by the
target's own image, under a name of this plan (install_strategy.PLANNED): virt-operator leaves it alone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from virt_core import logs
from virt_core.conventions import components
from virt_core.conventions.labels import INSTALL_STRATEGY
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError, NotFound
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CONFIG_MAPS, JOBS, PODS
from virt_core.objects.meta import seconds_since

from virt_operator.images.log import printed_by
from virt_operator.images.outcome import ImageTrouble, Outcome, outcome
from virt_operator.preflight import jobs
from virt_operator.preflight.observed import Target
from virt_operator.strategy.install_strategy import (
    KEY,
    BadStrategy,
    InstallStrategy,
    from_config_map,
    is_planned,
    name_of,
)
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.hypervisor import BadRecord, Hypervisor, parse_record
from virt_operator.suite.observed import OwnedObject, PodObject

_DEADLINE = 120.0  # seconds in which the images are pulled and run
_ABANDONED = 600.0  # seconds
_log = logs.bound("virt_operator.preflight.probe")


async def probe(client: KubeClient, settings: InstallSettings, *, deadline: float = _DEADLINE) -> Target:
    """The target's strategy and hypervisor, and its images that do not run."""
    await _sweep(client, settings.namespace)
    token = secrets.token_hex(4)[:7]
    made = jobs.jobs(settings, token)
    probing = _Probe(client, settings, token)
    try:
        for job in made:
            await client.create(JOBS, settings.namespace, job)
        return await probing.run(deadline)
    except KubeError as error:  # a webhook of others that nobody answers, for example
        image = settings.image(components.OPERATOR)
        refusal = ImageTrouble(image, "ImageNotRunning", f"the Job that runs it cannot be created: {error}")
        return Target(troubles=(refusal,), probed=True)
    finally:
        names = [job["metadata"]["name"] for job in made]
        await _clean(client, settings.namespace, names, name_of(jobs.deployment_id(token)))


class _Probe:
    """One plan's pods and ConfigMap."""

    def __init__(self, client: KubeClient, settings: InstallSettings, token: str) -> None:
        self._client, self._settings = client, settings
        self._id = jobs.deployment_id(token)
        self._stirred = asyncio.Event()
        self._first: dict[str, ImageTrouble] = {}  # later the kubelet only says that it waits before it tries again
        namespace = settings.namespace
        selected = f"{jobs.PLAN}={token}"
        self._pods = Reflector(client, PODS, PodObject, self._stir, namespace=namespace, labels=selected)
        named = f"metadata.name={name_of(self._id)}"
        self._printed = Reflector(client, CONFIG_MAPS, OwnedObject, self._stir, namespace=namespace, fields=named)

    async def run(self, deadline: float) -> Target:
        """Wait until every image has run or cannot, then read."""
        watches = [asyncio.create_task(watch.run(), name="watch of a plan") for watch in (self._pods, self._printed)]
        try:
            async with asyncio.timeout(deadline):
                while not self._is_done(outcome(self._pods)):
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            _log.info("ending a plan's probes", deadline=deadline)
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        return await self._read(outcome(self._pods), deadline)

    def _is_done(self, found: Outcome) -> bool:
        self._first = {**found.troubles, **self._first}
        settled = found.ended | found.troubles.keys()
        if not settled.issuperset(jobs.CONTAINERS):
            return False
        return components.OPERATOR in found.troubles or any(True for _ in self._printed)

    async def _read(self, found: Outcome, deadline: float) -> Target:
        troubles = [self._first.get(name, trouble) for name, trouble in sorted(found.troubles.items())]
        for name in jobs.CONTAINERS:
            if name not in found.ended and name not in found.troubles:
                why = found.waiting.get(name, "its pod was not created")
                message = f"the image has not run within {deadline:.0f} s: {why}"
                troubles.append(ImageTrouble(self._settings.image(name), "ImageNotRunning", message))
        strategy = self._strategy(troubles) if components.OPERATOR in found.ended else None
        hypervisor = await self._record(troubles) if components.LAUNCHER in found.ended else None
        return Target(strategy, hypervisor, tuple(troubles), probed=True)

    def _strategy(self, troubles: list[ImageTrouble]) -> InstallStrategy | None:
        image = self._settings.image(components.OPERATOR)
        for printed in self._printed:
            try:
                return from_config_map(printed.data.get(KEY, ""), self._id)
            except BadStrategy as error:
                troubles.append(ImageTrouble(image, "StrategyUnreadable", f"its install strategy {error}"))
                return None
        troubles.append(ImageTrouble(image, "StrategyUnreadable", "it has printed no install strategy"))
        return None

    async def _record(self, troubles: list[ImageTrouble]) -> Hypervisor | None:
        """What the launcher's image printed: its record of QEMU and libvirt."""
        try:
            for pod in self._pods:
                if any(container["name"] == components.LAUNCHER for container in pod.spec.get("containers") or ()):
                    return parse_record(await self._printed_by(pod.metadata.name))
        except (BadRecord, KubeError) as error:
            troubles.append(ImageTrouble(self._settings.image(components.LAUNCHER), "RecordUnreadable", str(error)))
        return None

    async def _printed_by(self, pod: str) -> bytes:
        return await printed_by(self._client, self._settings.namespace, pod, components.LAUNCHER)

    def _stir(self, _: object) -> None:
        self._stirred.set()


async def _sweep(client: KubeClient, namespace: str) -> None:
    """Delete ConfigMaps that a replica left which was killed while it made a plan. Its Jobs delete themselves."""
    now = datetime.now(UTC)
    for body in await client.list(CONFIG_MAPS, namespace, labels=INSTALL_STRATEGY):
        meta = body["metadata"]
        if is_planned(meta["name"]) and seconds_since(meta.get("creationTimestamp"), now) > _ABANDONED:
            await _clean(client, namespace, (), meta["name"])


async def _clean(client: KubeClient, namespace: str, names: Iterable[str], config_map: str) -> None:
    """Delete what was created. What cannot be deleted deletes itself; a ConfigMap stays until the next plan."""
    for resource, name in (*((JOBS, name) for name in names), (CONFIG_MAPS, config_map)):
        try:
            await client.delete(resource, namespace, name)
        except NotFound:
            continue
        except KubeError as error:
            _log.warning("leaving what a plan has created", name=name, reason=str(error))

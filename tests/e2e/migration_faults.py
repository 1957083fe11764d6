"""What can happen during a migration: a process, the link between both pods, or a node dies. For tests.

A killed component's pod is replaced: the kubelet would wait longer and longer before it starts the container again.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from localcluster import kube_binary, node
from localcluster.settings import Cluster
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import LEASES, PODS

from tests.e2e.cluster import NAMESPACE, ROOT, Process, kubectl, process
from tests.e2e.killing import COMPONENTS, VICTIMS
from tests.e2e.move_watch import Body, Moment, Move, MoveWatch

LAUNCHER, LIBVIRTD, QEMU = r"^\S*python.*virt_launcher", r"^\S*libvirtd", r"^\S*qemu-system"
_IN_POD = {"launcher": LAUNCHER, "libvirtd": LIBVIRTD, "QEMU": QEMU}
_SIDES = ("source", "target")
CUT_IN_PERFORM, CUT_IN_FINISH = "link cut in Perform", "link cut in Finish"
NODES = tuple(f"node of the {side}" for side in _SIDES)
_ANY = tuple(moment for moment in Moment if moment is not Moment.OVER)
_LONGEST_CUT, _LONGEST_DEATH = 30.0, 15.0  # seconds


def _moments(kind: str) -> tuple[Moment, ...]:
    side, _, what = kind.partition(" ")
    if kind == CUT_IN_PERFORM:
        return (Moment.COPYING,)
    if kind == CUT_IN_FINISH:
        return (Moment.SWITCHING,)
    if what == "QEMU" and side == "target":
        return (Moment.COPYING, Moment.SWITCHING, Moment.ARRIVED)
    return _ANY[2:] if side == "target" or kind == NODES[1] else _ANY


LOGS = ROOT / "build/migration-kills"

KINDS = {
    kind: _moments(kind)
    for kind in (
        *(f"{side} {what}" for what in _IN_POD for side in _SIDES),
        *(f"{side} handler" for side in _SIDES),
        *(name for name in COMPONENTS if name != "virt-handler"),
        CUT_IN_PERFORM,
        CUT_IN_FINISH,
        *NODES,
    )
}
"""Every kind of fault, and the moments at which it can happen."""

_LONGEST_DELAY = {Moment.SWITCHING: 0.15, Moment.ARRIVED: 0.4}  # seconds after the moment has come; else:
_DELAY = 1.0
_ENDS_GUEST = {
    "source QEMU": lambda moment: moment < Moment.ARRIVED,
    NODES[0]: lambda moment: moment < Moment.ARRIVED,
    "target QEMU": lambda moment: moment >= Moment.SWITCHING,
    NODES[1]: lambda moment: moment >= Moment.SWITCHING,
}


def may_end_the_guest(kind: str, moment: Moment) -> bool:
    """Whether nobody could have saved it. Before the copy is switched the target's death changes nothing; a switched
    guest needs only the target."""
    return kind in _ENDS_GUEST and _ENDS_GUEST[kind](moment)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to happen when."""

    kind: str
    moment: Moment
    delay: float
    duration: float

    @classmethod
    def random(cls, kind: str, chance: random.Random) -> Fault:
        """At a moment that suits the kind."""
        moment = chance.choice(KINDS[kind])
        longest = _LONGEST_DEATH if kind in NODES else _LONGEST_CUT
        latest = 0.0 if kind == CUT_IN_FINISH else _LONGEST_DELAY.get(moment, _DELAY)
        return cls(kind, moment, chance.uniform(0, latest), chance.uniform(1, longest))


class Faults:
    """Makes faults happen."""

    def __init__(self, watch: MoveWatch, chance: random.Random) -> None:
        self._watch, self._chance = watch, chance

    async def happen(self, fault: Fault, move: Move) -> Moment | None:
        """Wait for the moment and strike; returns when the cause is over. The moment at which it happened, None: the
        migration ended before."""
        watch = self._watch
        early = Moment.COPYING if fault.moment is Moment.SWITCHING else fault.moment
        if not await self._comes(early, move):
            return None
        victims = await self._located(fault, move)
        if early is not fault.moment and not await self._comes(fault.moment, move):
            return None
        await asyncio.sleep(fault.delay)
        struck = watch.moment(move)
        if struck is Moment.OVER:
            return None
        if fault.kind in (CUT_IN_PERFORM, CUT_IN_FINISH):
            async with self._cut(watch.state(move)):
                await watch.until(lambda: watch.moment(move) is Moment.OVER, fault.duration)
        elif fault.kind in NODES:
            await self._kill_node(self._node(fault.kind, move), fault.duration)
        else:
            if not [victim for victim in victims if _kill(victim)]:
                return None
            # The target may have become the guest's only place between the look and the death.
            struck = watch.moment(move) if fault.kind == "target QEMU" else struck
            await self._bring_back(fault, move)
        return struck

    async def _comes(self, moment: Moment, move: Move) -> bool:
        watch = self._watch
        return await watch.until(lambda: watch.moment(move) >= moment, 240) and watch.moment(move) is not Moment.OVER

    def _node(self, kind: str, move: Move) -> str:
        pod = self._pod(kind.removeprefix("node of the "), move)
        return str(pod["spec"]["nodeName"]) if pod is not None else ""

    def _pod(self, side: str, move: Move) -> Body | None:
        if side == "target":
            return self._watch.target(move)
        source = self._watch.state(move).get("sourcePodUID")
        active = source or next(iter(self._watch.vmis[move.guest]["status"].get("activePods", {})), "")
        return next((pod for pod in self._watch.pods.values() if pod["metadata"]["uid"] == active), None)

    async def _located(self, fault: Fault, move: Move) -> list[Process]:
        side, _, what = fault.kind.partition(" ")
        if what in _IN_POD:
            pod = self._pod(side, move)
            found = await asyncio.to_thread(process, pod["metadata"]["uid"], _IN_POD[what]) if pod is not None else None
            return [found] if found is not None else []
        if what == "handler":
            uids = [pod["metadata"]["uid"] for pod in await self._handlers(side, move)]
            found_all = [await asyncio.to_thread(process, uid, "virt_handler") for uid in uids]
            return [found for found in found_all if found is not None]
        if fault.kind in COMPONENTS:
            return await asyncio.to_thread(VICTIMS[fault.kind], [])
        return []

    async def _handlers(self, side: str, move: Move) -> list[Body]:
        pod = self._pod(side, move)
        name = pod["spec"].get("nodeName") if pod is not None else None
        pods = await self._watch.client.list(PODS, NAMESPACE, labels="kubevirt.io=virt-handler")
        return [pod for pod in pods if pod["spec"].get("nodeName") == name]

    async def _bring_back(self, fault: Fault, move: Move) -> None:
        """Replace the pods of a component."""
        side, _, what = fault.kind.partition(" ")
        if what == "handler":
            pods = await self._handlers(side, move)
        elif fault.kind in COMPONENTS:
            pods = await self._watch.client.list(PODS, NAMESPACE, labels=f"kubevirt.io={fault.kind}")
        else:
            return
        for pod in pods:
            await asyncio.to_thread(keep_log, pod["metadata"]["name"], NAMESPACE)
            await _ignoring(self._watch.client.delete(PODS, NAMESPACE, pod["metadata"]["name"], grace=0))
        if fault.kind == "virt-controller" and self._chance.random() < 0.7:  # else its Lease runs out after 15 s
            freed = {"spec": {"holderIdentity": ""}}
            await _ignoring(self._watch.client.merge_patch(LEASES, NAMESPACE, "virt-controller", freed))

    @asynccontextmanager
    async def _cut(self, state: Body) -> AsyncIterator[None]:
        """Nothing passes between both pods."""
        addresses = [
            witness.address
            for key in ("sourcePodUID", "targetPodUID")
            if (witness := self._watch.witnesses.get(state.get(key, ""))) is not None
        ]
        pair = ", ".join(addresses)
        table = f"cut_{'_'.join(addresses).replace('.', '_')}"
        rule = f"ip saddr {{ {pair} }} ip daddr {{ {pair} }} drop"
        await _filter(
            f"add table ip {table}",
            f"add chain ip {table} f {{ type filter hook forward priority -10; }}",
            f"add rule ip {table} f {rule}",
        )
        try:
            yield
        finally:
            await _filter(f"delete table ip {table}")

    async def _kill_node(self, name: str, seconds: float) -> None:
        cluster = Cluster.load()
        victim = next((known for known in cluster.nodes if known.name == name), None)
        if victim is None:
            return
        await asyncio.to_thread(node.kill, cluster, victim)
        try:
            await asyncio.sleep(seconds)
        finally:
            node.start(cluster, victim, kube_binary.ensure(cluster))


async def _filter(*commands: str) -> None:
    """Change the rules of a node. One is enough: what goes from one node to another passes both."""
    cluster = Cluster.load()
    argv = node.exec_argv(cluster, cluster.nodes[0].number, ["nft", "; ".join(commands)])
    child = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE)
    _, complaint = await child.communicate()
    assert child.returncode == 0, complaint.decode()


def keep_log(pod: str, namespace: str) -> None:
    """Keep a pod's log in build/, behind what is there of it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    text = kubectl("logs", "-n", namespace, pod, "--all-containers", "--timestamps", "--tail=1000", check=False)
    with (LOGS / f"{pod}.log").open("a") as file:
        file.write(text)


async def _ignoring(request: object) -> None:
    """What changes hands at this moment, or is gone, is as wanted."""
    try:
        await request  # type: ignore[misc]
    except KubeError:
        pass


def _kill(victim: Process) -> bool:
    """Whether it was alive until now."""
    try:
        victim.kill()
    except ProcessLookupError:
        return False
    return True

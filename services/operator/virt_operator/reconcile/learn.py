"""Carries out the actions of a plan that only look: probes of pods, records of launchers, the review of a way back.
Called by execute.py.

They change nothing that stays in the cluster. What they find goes to the inventory, and the next pass observes it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import assert_never

from virt_core import logs
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.objects.upgrade_status import LedgerEntry

from virt_operator.images.log import printed_by
from virt_operator.preflight.ledger import ledger
from virt_operator.preflight.read import read_reviewed
from virt_operator.proof.prove import Prober
from virt_operator.reconcile.inventory import Inventory
from virt_operator.strategy.hardware_job import AFTER, BEFORE
from virt_operator.suite.actions import (
    PROBES_AT_ONCE,
    Prove,
    ProveWork,
    ReadRecords,
    ReviewWayBack,
    SurveyGuests,
)
from virt_operator.suite.hypervisor import BadRecord, Hypervisor, parse_record
from virt_operator.suite.observed import Review


class Learner:
    """Looks, and tells the inventory."""

    def __init__(self, client: KubeClient, inventory: Inventory, prober: Prober, namespace: str) -> None:
        self._client = client
        self._inventory = inventory
        self._prober = prober
        self._namespace = namespace
        self._turns = asyncio.Semaphore(PROBES_AT_ONCE)
        self._log = logs.bound("virt_operator.learn")

    async def learn(self, action: Prove | ProveWork | SurveyGuests | ReadRecords | ReviewWayBack) -> None:
        """Carry it out.

        Raises:
            KubeError, OSError: a probe cannot be made now.
        """
        match action:
            case ReadRecords():
                await self._read_records(action)
            case ReviewWayBack():
                await self._review(action)
            case _:
                async with self._turns:
                    await self._probe(action)

    async def _probe(self, action: Prove | ProveWork | SurveyGuests) -> None:
        """To have waited for a turn is no part of the attempt."""
        began, pod = datetime.now(UTC), action.pod
        match action:
            case Prove(uid=uid):
                fault = await self._prober.prove(action)
                outcome = "passed" if fault is None else f"{fault.probe}: {fault.message}"
                self._log.info("probing", object=f"Pod {pod.name}", node=pod.node, outcome=outcome)
                self._inventory.probed(uid, began, fault)
            case ProveWork(uid=uid):
                done = await self._prober.prove_work(action)
                passed = f"skipped: {done.skipped}" if done.skipped else "passed"
                outcome = passed if done.fault is None else f"{done.fault.probe}: {done.fault.message}"
                self._log.info("probing the work", object=f"Pod {pod.name}", node=pod.node, outcome=outcome)
                self._inventory.worked(uid, began, done)
            case SurveyGuests(uid=uid):
                silent = await self._prober.silent_guests(pod)
                names = [guest.object for guest in silent]
                self._log.info("surveying", object=f"Pod {pod.name}", node=pod.node, silent=names)
                self._inventory.surveyed(uid, silent)
            case _:
                assert_never(action)

    async def _read_records(self, action: ReadRecords) -> None:
        """What cannot be read now is read by a later pass: nothing else waits for it, and not for long."""
        try:
            records = {container: await self._record(action.pod, container) for container in (BEFORE, AFTER)}
        except KubeError as error:
            self._log.warning("not reading what a launcher knows", object=f"Pod {action.pod}", reason=str(error))
            return
        self._inventory.printed(action.uid, records)

    async def _review(self, action: ReviewWayBack) -> None:
        """A review that fails is repeated when the next one is due: nothing waits for it."""
        try:
            cluster = await read_reviewed(self._client, action)
            found = await asyncio.to_thread(ledger, cluster, action.way_back, action.before)
        except KubeError as error:
            found = [LedgerEntry("the cluster", "", f"not examined: {error}")]
        except Exception as error:
            self._log.error("a defect in reviewing the way back", exc_info=True)
            why = f"not examined: defect of virt-operator, see its log: {type(error).__name__}"
            found = [LedgerEntry("the cluster", "", why)]
        self._log.info("reviewing the way back", to=action.way_back.version, entries=len(found))
        made = Review(action.moment, action.way_back.deployment_id, datetime.now(UTC), tuple(found))
        self._inventory.reviewed(made)

    async def _record(self, pod: str, container: str) -> Hypervisor | str:
        """What a launcher's image has printed, or why that is no record."""
        try:
            return parse_record(await self.printed_by(pod, container))
        except BadRecord as error:
            return str(error)

    async def printed_by(self, pod: str, container: str) -> bytes:
        """The log of a container, as far as it is kept."""
        return await printed_by(self._client, self._namespace, pod, container)

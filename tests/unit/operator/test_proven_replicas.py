"""New pods of virt-controller and virt-api are proven before the next component is replaced."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.conventions.webhooks import VALIDATE_CREATE
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import rfc3339
from virt_core.rpc.tls import Certificates
from virt_core.vmi.admission import admit_create
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf
from virt_operator.change.leading import LONGEST
from virt_operator.change.plan import plan
from virt_operator.change.probing import PATIENCE
from virt_operator.peers.answer import SuitePod
from virt_operator.proof.reviewing import admission_fault
from virt_operator.reconcile.status import status_of
from virt_operator.strategy.ref import WORKLOADS, Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.actions import Apply, DeletePod, Prove, ProveWork, Replace
from virt_operator.suite.observed import Fault, Observed, PodObject, Probed

from tests.unit.operator.suites import (
    INSTALL,
    NOW,
    OPERATOR,
    changed,
    desired_objects,
    expecting,
    handler_hash,
    installed,
    live,
    own_deployment,
    pod,
    ready_status,
    settled_definitions,
    strategies,
)

NEWER = msgspec.structs.replace(INSTALL, tag="v1.3.0")
DRIVING = replace(OPERATOR, tag="v1.3.0", release="v1.3.0")
POD = "virt-controller-new"
FAULT = Fault("GetInfo", "no answer within 3 s")


def new_pod(component: str, *, ready: bool = True, settings: InstallSettings = NEWER) -> PodObject:
    body = next(body for body in desired_objects(settings) if ref_of(body) == Ref("Deployment", "kubevirt", component))
    template_hash = body["spec"]["template"]["metadata"]["annotations"][TEMPLATE_HASH]
    return pod(component, template_hash, name=f"{component}-new", ready=ready)


def updating(*pods: PodObject, **more: Any) -> Observed:
    """virt-handler is of the newer release, virt-controller's Deployment too."""
    observed = settled_definitions(installed(), "v1.3.0")
    assert observed.suite is not None
    status = msgspec.structs.replace(observed.suite.status, observed_deployment_config=INSTALL.to_json())
    observed = replace(observed, suite=msgspec.structs.replace(observed.suite, status=status))
    observed = expecting(observed, {"imageTag": "v1.3.0"}, release="v1.3.0")
    for body in desired_objects(NEWER):
        if body["kind"] in WORKLOADS and body["metadata"]["name"] in ("virt-handler", "virt-controller"):
            observed = changed(observed, ref_of(body), live(body, ready_status(body)))
    handler = pod("virt-handler", handler_hash(NEWER))
    observed = replace(observed, operator=own_deployment(NEWER), pods=(handler, *pods), **more)
    return replace(observed, owned={**observed.owned, **strategies(NEWER, release="v1.3.0"), **strategies(INSTALL)})


def written(observed: Observed) -> list[str]:
    """The workloads that are written."""
    actions = [action for action in plan(observed, DRIVING).actions if isinstance(action, Apply | Replace)]
    return [action.ref.name for action in actions if action.ref.kind in WORKLOADS]


def test_a_new_pod_is_probed_when_it_is_ready_and_the_next_component_waits() -> None:
    observed = updating(new_pod("virt-controller"))
    actions = plan(observed, DRIVING).actions
    (probe,) = [action for action in actions if isinstance(action, Prove)]
    assert (probe.pod.name, probe.release, probe.lenient) == (POD, "v1.3.0", False)
    assert written(observed) == []
    starting = updating(new_pod("virt-controller", ready=False))
    assert not any(isinstance(action, Prove) for action in plan(starting, DRIVING).actions)


def test_when_it_has_passed_the_next_component_follows_and_it_is_not_asked_again() -> None:
    passed = {f"uid-{POD}": Probed(NOW, NOW, None)}
    observed = updating(new_pod("virt-controller"), probes=passed, works=passed)
    assert written(observed) == ["virt-api"]
    assert not any(isinstance(action, Prove | ProveWork) for action in plan(observed, DRIVING).actions)


def free_for(seconds: int) -> dict[str, Any]:
    """The Lease was free for so long, right after the new pod had answered."""
    vacancy = timedelta(seconds=seconds)
    return {"controller_leads_since": NOW + vacancy, "controller_vacancy": vacancy}


def test_a_virt_controller_must_lead_and_reconcile_before_the_next_component() -> None:
    passed = {f"uid-{POD}": Probed(NOW, NOW, None)}
    standby = updating(new_pod("virt-controller"), probes=passed, controller_leader="virt-controller-0")
    assert written(standby) == [] and "holds the Lease" in plan(standby, DRIVING).waits[0].why
    leading = replace(standby, controller_leader=POD)
    (probe,) = [action for action in plan(leading, DRIVING).actions if isinstance(action, ProveWork)]
    assert (probe.pod.name, probe.owner.name, written(leading)) == (POD, "kubevirt", [])
    late = replace(standby, now=NOW + PATIENCE)
    assert plan(late, DRIVING).stopped is None, "whoever holds it may be gone, and the Lease not be free yet"
    stopped = plan(replace(late, **free_for(3)), DRIVING).stopped
    assert stopped is not None and (stopped.object, stopped.probe) == (f"pod {POD}", "leadership")
    assert "virt-controller-0 holds it" in stopped.message


def test_while_the_operator_or_the_api_server_was_away_nobody_could_take_the_lease() -> None:
    passed = {f"uid-{POD}": Probed(NOW, NOW, None)}
    holder = {"controller_leader": "virt-controller-0", **free_for(3)}
    observed = updating(new_pod("virt-controller"), probes=passed, **holder)
    back = replace(observed, now=NOW + 2 * PATIENCE, able_since=NOW + 2 * PATIENCE)
    assert plan(back, DRIVING).stopped is None
    assert plan(replace(back, now=NOW + 3 * PATIENCE), DRIVING).stopped is not None


def old_pod(name: str, made: str) -> PodObject:
    found = new_pod("virt-controller", settings=INSTALL)
    meta = msgspec.structs.replace(found.metadata, name=name, uid=f"uid-{name}", creation_timestamp=made)
    return msgspec.structs.replace(found, metadata=meta)


def led_by(holder: str, seconds: int, vacancy: float) -> Observed:
    """Two pods of the release before, one made after the new one; `holder` leads so long after the first answer."""
    new = new_pod("virt-controller")
    meta = msgspec.structs.replace(new.metadata, creation_timestamp="2026-01-31T09:59:50Z")
    pods = (msgspec.structs.replace(new, metadata=meta), old_pod("old", "2026-01-30T10:00:00Z"))
    passed = {f"uid-{POD}": Probed(NOW, NOW, None)}
    observed = updating(*pods, old_pod("again", "2026-01-31T10:00:01Z"), probes=passed)
    since = NOW + timedelta(seconds=seconds)
    history = {"controller_leads_since": since, "controller_vacancy": timedelta(seconds=vacancy)}
    return replace(observed, now=since, controller_leader=holder, **history)


def deleted(observed: Observed) -> set[str]:
    return {action.name for action in plan(observed, DRIVING).actions if isinstance(action, DeletePod)}


def test_all_old_pods_are_deleted_together_so_that_only_a_new_one_can_take_the_lease() -> None:
    assert deleted(led_by("old", 0, 0)) == {"old", "again"}
    assert deleted(led_by("again", 5, 0)) == set(), "it has just been quicker"
    assert deleted(replace(led_by("again", 5, 0), now=NOW + timedelta(seconds=20))) == {"old", "again"}


def test_a_virt_controller_has_failed_only_if_the_lease_was_free_for_it() -> None:
    late = NOW + PATIENCE
    assert plan(replace(led_by("again", 5, 0), now=late), DRIVING).stopped is None
    assert plan(replace(led_by("again", 5, 8), now=late), DRIVING).stopped is None, "before it has answered"
    assert plan(replace(led_by("again", 5, 3), now=late), DRIVING).stopped is not None
    assert plan(replace(led_by("again", 5, 0), now=NOW + LONGEST), DRIVING).stopped is not None
    assert plan(replace(led_by("", 20, 0), now=late), DRIVING).stopped is None, "it has not been free for long"
    assert plan(replace(led_by("", 20, 0), now=late + timedelta(seconds=20)), DRIVING).stopped is not None


def test_an_old_leader_that_ends_slowly_costs_no_further_pods() -> None:
    observed = led_by("old", 0, 0)
    ending = msgspec.structs.replace(observed.pods[2].metadata, deletion_timestamp="2026-01-31T10:00:00Z")
    pods = (*observed.pods[:2], msgspec.structs.replace(observed.pods[2], metadata=ending), observed.pods[3])
    assert deleted(replace(observed, pods=pods)) == set()


def test_a_virt_controller_that_cannot_be_probed_counts_and_the_reason_is_named() -> None:
    passed = {f"uid-{POD}": Probed(NOW, NOW, None)}
    skipped = {f"uid-{POD}": Probed(NOW, NOW, None, "the API server refuses the guest")}
    observed = updating(new_pod("virt-controller"), probes=passed, works=skipped)
    assert written(observed) == ["virt-api"]
    assert any("refuses the guest" in wait.why for wait in plan(observed, DRIVING).later)


def starting(minutes: int, *, made: str = "", **more: Any) -> Observed:
    """A new pod of virt-api does not become ready since so long, in an update that began an hour ago."""
    new = new_pod("virt-controller", ready=False)
    since = rfc3339(NOW - timedelta(minutes=minutes))
    ready = {"type": "Ready", "status": "False", **({} if made else {"lastTransitionTime": since})}
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}, "image": "r/x:v1.3.0"}
    meta = msgspec.structs.replace(new.metadata, creation_timestamp=made or "2026-01-31T09:00:00Z")
    status = {"conditions": [ready], "containerStatuses": [waiting], **more}
    observed = updating(msgspec.structs.replace(new, metadata=meta, status=status))
    assert observed.suite is not None and observed.suite.status.upgrade is not None
    upgrade = msgspec.structs.replace(
        observed.suite.status.upgrade, operation="Update", step="virt-controller", started_at="2026-01-31T09:00:00Z"
    )
    status_of_suite = msgspec.structs.replace(observed.suite.status, upgrade=upgrade)
    return replace(observed, suite=msgspec.structs.replace(observed.suite, status=status_of_suite))


def test_a_new_pod_that_is_not_ready_for_five_minutes_stops_the_update_with_the_reason() -> None:
    assert plan(starting(4), DRIVING).stopped is None
    assert plan(starting(4), DRIVING).next_deadline == NOW + timedelta(minutes=1)
    stopped = plan(starting(5), DRIVING).stopped
    assert stopped is not None and (stopped.object, stopped.probe) == (f"pod {POD}", "Ready")
    assert "after 5 minutes" in stopped.message and "ImagePullBackOff of image r/x:v1.3.0: not found" in stopped.message


def paused(observed: Observed) -> Observed:
    assert observed.suite is not None
    spec = {**observed.suite.spec, "upgradeStrategy": {"paused": True}}
    return replace(observed, suite=msgspec.structs.replace(observed.suite, spec=spec))


def whys(observed: Observed, component: str = "virt-controller") -> str:
    return "; ".join(wait.why for wait in plan(observed, DRIVING).waits if wait.what.endswith(component))


PROVEN = {f"uid-{POD}": Probed(NOW, NOW, None)}
SINCE = rfc3339(NOW - timedelta(minutes=9))


def test_while_paused_no_pod_that_is_not_ready_sends_the_update_back() -> None:
    for observed in (starting(9), replace(starting(9), probes=PROVEN), replace(starting(9), pods=())):
        assert plan(paused(observed), DRIVING).stopped is None
    assert f"pod {POD} is not ready since {SINCE}" in whys(paused(starting(9)))
    assert "nothing goes back while paused by spec.upgradeStrategy.paused" in whys(paused(starting(9)))


def test_a_proven_pod_that_is_not_ready_later_is_named_and_nothing_goes_back() -> None:
    observed = replace(starting(9), probes=PROVEN)
    assert plan(observed, DRIVING).stopped is None and written(observed) == []
    assert f"pod {POD} was proven and is not ready since {SINCE}" in whys(observed)


def test_a_proven_pod_that_is_not_ready_sends_the_update_back_while_its_component_is_replaced() -> None:
    observed = replace(starting(9), probes=PROVEN)
    old = replace(observed, pods=(*observed.pods, new_pod("virt-controller", settings=INSTALL)))
    stopped = plan(old, DRIVING).stopped
    assert stopped is not None and (stopped.object, stopped.probe) == (f"pod {POD}", "Ready")


def test_an_old_pod_that_was_evicted_leaves_an_object_and_is_replaced_all_the_same() -> None:
    observed, old = replace(starting(9), probes=PROVEN), new_pod("virt-controller", settings=INSTALL)
    evicted = msgspec.structs.replace(old, status={"phase": "Failed", "reason": "Evicted"})
    assert plan(replace(observed, pods=(*observed.pods, evicted)), DRIVING).stopped is None


def test_once_the_next_component_has_begun_a_new_leader_knows_that_the_one_before_was_proven() -> None:
    observed = starting(9)
    body = next(body for body in desired_objects(NEWER) if ref_of(body) == Ref("Deployment", "kubevirt", "virt-api"))
    observed = changed(observed, ref_of(body), live(body, ready_status(body)))
    assert plan(observed, DRIVING).stopped is None
    assert f"pod {POD} was proven and is not ready since {SINCE}" in whys(observed)


def test_a_pod_that_no_node_takes_counts_from_its_creation() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    more = {"conditions": [unschedulable], "containerStatuses": []}
    assert plan(starting(0, made="2026-01-31T09:56:00Z", **more), DRIVING).stopped is None
    stopped = plan(starting(0, made="2026-01-31T09:54:00Z", **more), DRIVING).stopped
    assert stopped is not None and "Unschedulable: 0/3 nodes" in stopped.message


def test_nothing_that_is_no_fault_of_a_new_pod_stops_the_update() -> None:
    for innocent in (
        replace(starting(9), able_since=NOW),
        starting(9, phase="Failed"),  # evicted: Kubernetes has made another
        replace(starting(9), pods=(new_pod("virt-controller", settings=INSTALL),)),
    ):
        assert plan(innocent, DRIVING).stopped is None
    away = starting(9)
    pods = tuple(msgspec.structs.replace(found, spec={"nodeName": "gone"}) for found in away.pods)
    assert plan(replace(away, pods=pods), DRIVING).stopped is None


def test_old_pods_are_not_probed() -> None:
    observed = updating(new_pod("virt-controller", settings=INSTALL))
    assert not any(isinstance(action, Prove) for action in plan(observed, DRIVING).actions)


def test_one_that_fails_for_good_stops_the_update_and_the_old_template_comes_back() -> None:
    failing = {f"uid-{POD}": Probed(NOW - PATIENCE, NOW, FAULT)}
    observed = updating(new_pod("virt-controller"), probes=failing)
    decided = plan(observed, DRIVING)
    assert decided.stopped is not None and written(observed) == []
    assert (decided.stopped.component, decided.stopped.object) == ("virt-controller", f"pod {POD}")
    assert observed.suite is not None
    status = status_of(observed.suite, observed, decided, DRIVING, None)
    degraded = next(condition for condition in status.conditions if condition.type == "Degraded")
    assert degraded.reason == "UpgradeStopped" and "no answer within 3 s" in degraded.message
    after = replace(observed, suite=msgspec.structs.replace(observed.suite, status=status))
    after = settled_definitions(after, INSTALL.tag)
    assert written(after) == ["virt-controller"], "virt-api is as it was, virt-handler follows"
    actions = plan(after, DRIVING).actions
    body = next(action.body for action in actions if isinstance(action, Replace) and action.ref.name in written(after))
    assert body["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":v1.2.3")


def test_a_failed_attempt_is_repeated_until_patience_ends() -> None:
    first = Probed(NOW - timedelta(seconds=1), NOW - timedelta(seconds=1), FAULT)
    observed = updating(new_pod("virt-controller"), probes={f"uid-{POD}": first})
    decided = plan(observed, DRIVING)
    assert decided.next_deadline == NOW + timedelta(seconds=1) and decided.stopped is None
    later = replace(observed, now=NOW + timedelta(seconds=1))
    assert any(isinstance(action, Prove) for action in plan(later, DRIVING).actions)


class Api:
    """A webhook that answers what it is told to, or as virt-api decides."""

    def __init__(self, answer: Any = None, status: int = 200) -> None:
        self.answer, self.status = answer, status

    async def review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        refused = admit_create(asked["object"], Configuration(), is_own_account=False)
        response = {"uid": asked["uid"], "allowed": refused == ()}
        return web.json_response(self.answer or {"response": response}, status=self.status)


@pytest.fixture
def authority() -> KeyPair:
    return new_authority(datetime.now(UTC))


def folder_of(authority: KeyPair, folder: Path, component: str) -> Path:
    leaf = new_leaf(authority, f"kubevirt.io:system:{component}", (f"{component}.kubevirt.svc",), datetime.now(UTC))
    folder.mkdir()
    for name, content in (("tls.crt", leaf.certificate), ("tls.key", leaf.key), ("ca.crt", leaf.bundle)):
        (folder / name).write_bytes(content)
    return folder


@asynccontextmanager
async def serving(api: Api, folder: Path) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_post(VALIDATE_CREATE, api.review)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("api", "component", "message"),
    [
        (Api(), "virt-api", None),
        (Api({"response": {"allowed": False, "status": {"message": "no"}}}), "virt-api", "refuses a valid .*: no"),
        (Api({"error": 1}), "virt-api", "answers something else than a review"),
        (Api(status=503), "virt-api", "answers a review with status 503"),
        (Api(), "virt-controller", "no answer: .*certificate"),
    ],
)
async def test_a_virt_api_must_admit_a_valid_machine(
    api: Api, component: str, message: str | None, authority: KeyPair, tmp_path: Path
) -> None:
    own = Certificates(folder_of(authority, tmp_path / "operator", "virt-operator"))
    asked = SuitePod("virt-api", "virt-api-new", "node1", "127.0.0.1")
    async with serving(api, folder_of(authority, tmp_path / "api", component)) as port:
        fault = await admission_fault(asked, own, "kubevirt", 3.0, port)
    if message is None:
        assert fault is None
    else:
        with pytest.raises(ValueError, match=message):
            raise ValueError(fault.message if fault is not None else "")

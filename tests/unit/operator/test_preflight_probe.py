"""The plan of an upgrade: what it reads, which images it runs, what it leaves, and what is sent."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from kubevirt.admin.v1 import admin_pb2
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CONFIG_MAPS, JOBS, KUBEVIRTS, NODES, PODS, VIRTUAL_MACHINE_INSTANCES, Resource
from virt_core.objects.meta import rfc3339
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused
from virt_operator.admin.plan_messages import result_messages
from virt_operator.images.outcome import outcome
from virt_operator.preflight.check import Request, check
from virt_operator.preflight.finding import Severity
from virt_operator.preflight.jobs import CONTAINERS, PLAN, jobs
from virt_operator.preflight.plan import Answer
from virt_operator.preflight.probe import probe
from virt_operator.strategy.install_strategy import is_planned, strategy_of, to_config_map
from virt_operator.strategy.job import DEPLOYMENT_ID, INSTALL_SETTINGS
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.observed import PodObject

from tests.samples.hypervisors import RECORD
from tests.support.patience import PATIENCE

from .preflight_cluster import INSTALLED, TARGET
from .suites import INSTALL, OPERATOR

ENDED = {"terminated": {"exitCode": 0}}
SUITE = {
    "metadata": {
        "name": "kubevirt",
        "namespace": "kubevirt",
        "uid": "u",
        "finalizers": ["kubevirt.io/foregroundDeleteKubeVirt"],
    },
    "status": {
        "observedDeploymentID": INSTALL.deployment_id,
        "observedRelease": "v1.2.3",
        "conditions": [{"type": "Available", "status": "True"}],
    },
}


class Kubelet:
    """Runs the pods of each Job at once. `states` of containers differ from "ended" by name."""

    def __init__(self, server: FakeApiServer, **states: Any) -> None:
        self._server, self._states = server, {name.replace("_", "-"): state for name, state in states.items()}
        self.jobs: list[dict[str, Any]] = []
        server.admit = self._run

    def _run(self, place: Place, job: Any) -> None:
        if place.plural != "jobs":
            return
        self.jobs.append(job)
        spec = job["spec"]["template"]["spec"]
        statuses = [
            {"name": container["name"], "state": self._states.get(container["name"], ENDED)}
            for container in spec["containers"]
        ]
        meta = {"name": f"{job['metadata']['name']}-x", "labels": job["spec"]["template"]["metadata"]["labels"]}
        # The fake API server answers a request for a pod's log with the pod, so that this one has the record in it.
        record = json.loads(RECORD)
        self._server.put(
            PODS.path("kubevirt"), {**record, "metadata": meta, "spec": spec, "status": {"containerStatuses": statuses}}
        )
        for container in spec["containers"]:
            variables = {entry["name"]: entry.get("value", "") for entry in container.get("env", ())}
            if DEPLOYMENT_ID in variables and container["name"] not in self._states:
                settings = InstallSettings.from_json(variables[INSTALL_SETTINGS])
                printed = strategy_of(settings, variables[DEPLOYMENT_ID], settings.tag)
                self._server.put(CONFIG_MAPS.path("kubevirt"), to_config_map(printed, settings))


def names(server: FakeApiServer, kind: Resource) -> list[str]:
    found = server.store.select(Place.parse(kind.path("kubevirt")), lambda _: True)
    return [body["metadata"]["name"] for body in found]


async def answered(client: KubeClient, request: Request) -> tuple[list[str], Answer]:
    steps = [step async for step in check(client, OPERATOR, request)]
    *texts, answer = steps
    assert isinstance(answer, Answer)
    return [text for text in texts if isinstance(text, str)], answer


@pytest.fixture
def suite(server: FakeApiServer) -> None:
    server.put(KUBEVIRTS.path("kubevirt"), msgspec.json.decode(msgspec.json.encode(SUITE)))
    server.put(CONFIG_MAPS.path("kubevirt"), to_config_map(INSTALLED, INSTALL))


async def test_the_targets_images_are_run_and_nothing_is_left(server: FakeApiServer, client: KubeClient) -> None:
    kubelet = Kubelet(server)
    target = await probe(client, TARGET)
    assert target.troubles == () and target.probed
    assert target.strategy is not None and target.strategy.release == TARGET.tag
    assert target.hypervisor is not None and target.hypervisor.qemu == "7.2.22"
    assert len(kubelet.jobs) == 2 and names(server, JOBS) == names(server, CONFIG_MAPS) == []


def test_the_jobs_are_labelled_and_have_no_rights_but_to_print() -> None:
    printing, images = jobs(TARGET, "abc1234")
    for job in (printing, images):
        template = job["spec"]["template"]
        assert job["metadata"]["labels"][PLAN] == template["metadata"]["labels"][PLAN] == "abc1234"
        assert job["spec"]["ttlSecondsAfterFinished"] > 0 and "priorityClassName" not in template["spec"]
        for container in template["spec"]["containers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"] and context["capabilities"] == {"drop": ["ALL"]}
    assert "serviceAccountName" not in images["spec"]["template"]["spec"]
    assert images["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    containers = [c for job in (printing, images) for c in job["spec"]["template"]["spec"]["containers"]]
    assert {container["name"]: container["image"] for container in containers} == {
        name: TARGET.image(name) for name in CONTAINERS
    }


async def test_a_missing_image_is_named_with_the_kubelets_first_words(
    server: FakeApiServer, client: KubeClient
) -> None:
    missing = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    Kubelet(server, virt_launcher=missing, virt_operator=missing)
    target = await probe(client, TARGET)
    assert (target.strategy, target.hypervisor) == (None, None)
    assert [(trouble.image, trouble.reason) for trouble in target.troubles] == [
        (TARGET.image("virt-launcher"), "ImageMissing"),
        (TARGET.image("virt-operator"), "ImageMissing"),
    ]
    assert target.troubles[0].message == "the kubelet cannot get the image: ErrImagePull: not found"
    assert names(server, JOBS) == []


async def test_an_image_that_does_not_end_in_time_is_named_with_what_it_waits_for(
    server: FakeApiServer, client: KubeClient
) -> None:
    Kubelet(server, virt_api={"waiting": {"reason": "ContainerCreating"}})
    target = await probe(client, TARGET, deadline=5.0)
    (trouble,) = target.troubles
    assert (trouble.image, trouble.reason) == (TARGET.image("virt-api"), "ImageNotRunning")
    assert "ContainerCreating" in trouble.message and target.strategy is not None


async def test_a_plan_that_is_cancelled_leaves_nothing(server: FakeApiServer, client: KubeClient) -> None:
    Kubelet(server, virt_api={"running": {}})
    running = asyncio.create_task(probe(client, TARGET))
    async with asyncio.timeout(PATIENCE):
        await server.received("WATCH", 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert names(server, JOBS) == names(server, CONFIG_MAPS) == []


def test_what_a_container_ended_with_or_waits_for_is_told() -> None:
    containers = [{"name": name, "image": f"r/{name}"} for name in ("a", "b", "c")]
    statuses = [
        {"name": "a", "state": {"terminated": {"exitCode": 1, "message": "exec format error\n"}}},
        {"name": "b", "state": {"waiting": {"reason": "CreateContainerError", "message": "no"}}},
    ]
    unplaced = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes"}
    pod = {"spec": {"containers": containers}, "status": {"containerStatuses": statuses, "conditions": [unplaced]}}
    found = outcome([msgspec.convert({"metadata": {"name": "p"}, **pod}, PodObject)])
    assert found.ended == frozenset()
    assert found.troubles["a"].message == "the image ended with exit code 1: exec format error"
    assert found.troubles["b"].message == "the image cannot be run: CreateContainerError: no"
    assert found.waiting["c"] == "its pod has no node: 0/2 nodes"


async def test_a_plan_reads_probes_and_judges(server: FakeApiServer, client: KubeClient, suite: None) -> None:
    Kubelet(server)
    server.put(NODES.path(), {"metadata": {"name": "node1", "labels": {"kubevirt.io/schedulable": "true"}}})
    guest = {"metadata": {"name": "ada"}, "spec": {"domain": {}}, "status": {"machine": {"type": "pc-q35-10.0"}}}
    server.put(VIRTUAL_MACHINE_INSTANCES.path("default"), guest)
    server.put(VIRTUAL_MACHINE_INSTANCES.path("default"), {"metadata": {"name": "odd"}, "spec": {"domain": []}})
    before = names(server, CONFIG_MAPS)
    texts, answer = await answered(client, Request(TARGET.tag))
    assert texts == ["reading the cluster", "running the images of v1.3.0", "examining 1 nodes, 1 guests and 0 VMs"]
    severe = {(f.subject.name, f.reason) for f in answer.plan.findings if f.severity is not Severity.INFO}
    assert severe == {("node1", "NodeNotReady"), ("ada", "MachineTypeGone"), ("odd", "NotExamined")}
    assert (answer.plan.operation, answer.installed_release) == ("Update", "v1.2.3")
    assert names(server, CONFIG_MAPS) == before and names(server, JOBS) == []


async def test_offline_nothing_is_created(server: FakeApiServer, client: KubeClient, suite: None) -> None:
    kubelet = Kubelet(server)
    _, answer = await answered(client, Request(TARGET.tag, offline=True))
    assert answer.plan.operation == "Unknown" and not answer.target.probed
    assert kubelet.jobs == []
    assert {method for method, _ in server.requests} <= {"LIST", "POST"}  # POST: reviews of its own permissions
    assert all("selfsubjectrulesreviews" in path for method, path in server.requests if method == "POST")


async def test_what_is_installed_needs_no_probe(server: FakeApiServer, client: KubeClient, suite: None) -> None:
    kubelet = Kubelet(server)
    _, answer = await answered(client, Request(INSTALL.tag))
    assert answer.plan.operation == "None" and kubelet.jobs == []


async def test_a_tag_that_is_none_is_a_finding(server: FakeApiServer, client: KubeClient, suite: None) -> None:
    _, answer = await answered(client, Request("a b"))
    assert "SpecRefused" in [finding.reason for finding in answer.plan.findings]


async def test_jobs_that_admission_refuses_are_a_finding(
    server: FakeApiServer, client: KubeClient, suite: None
) -> None:
    def refuse(place: Place, _: Any) -> None:
        if place.plural == "jobs":
            raise Refused(500, "InternalError", "failed calling webhook")

    server.admit = refuse
    _, answer = await answered(client, Request(TARGET.tag))
    (refused,) = [finding for finding in answer.plan.findings if finding.reason == "ImageNotRunning"]
    assert refused.message == "the Job that runs it cannot be created: 500: failed calling webhook"


async def test_what_a_killed_replica_has_left_is_deleted_by_the_next_plan(
    server: FakeApiServer, client: KubeClient, suite: None
) -> None:
    Kubelet(server)
    for number, moment in enumerate(("2026-01-31T09:00:00Z", rfc3339(datetime.now(UTC)))):
        body = to_config_map(strategy_of(TARGET, f"plan-abc123{number}"), TARGET)
        body["metadata"]["creationTimestamp"] = moment
        server.put(CONFIG_MAPS.path("kubevirt"), body)
    await probe(client, TARGET)
    assert [name for name in names(server, CONFIG_MAPS) if is_planned(name)] == [
        "kubevirt-install-strategy-plan-abc1231"
    ]


async def test_many_findings_are_sent_in_several_messages(
    server: FakeApiServer, client: KubeClient, suite: None
) -> None:
    for number in range(600):
        server.put(VIRTUAL_MACHINE_INSTANCES.path("default"), {"metadata": {"name": f"g{number}"}})
    _, answer = await answered(client, Request(TARGET.tag, offline=True))
    *batches, last = result_messages(answer)
    assert [message.WhichOneof("message") for message in batches] == ["findings", "findings"]
    assert last.summary.tag == "v1.3.0" and last.summary.from_release == "v1.2.3"
    sent = [finding for message in batches for finding in message.findings.findings]
    assert len(sent) == len(answer.plan.findings) >= 600
    keeps = next(finding for finding in sent if finding.reason == "KeepsLauncher")
    assert keeps.severity == admin_pb2.SEVERITY_INFO and keeps.subject.namespace == "default"


def test_a_strategy_that_was_printed_for_a_plan_is_known_by_its_name() -> None:
    planned = to_config_map(strategy_of(TARGET, "plan-abc1234"), TARGET)["metadata"]["name"]
    assert is_planned(planned) and not is_planned(to_config_map(INSTALLED, INSTALL)["metadata"]["name"])

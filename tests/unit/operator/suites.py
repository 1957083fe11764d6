"""Sample values for the operator's tests: an installed suite as a cluster shows it."""

from __future__ import annotations

import copy
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from virt_core.conventions.component_pod import TEMPLATE_HASH
from virt_core.objects.kubevirt import KubeVirtStatus
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.upgrade_status import Upgrade, WayBack
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf
from virt_operator.certificates.plan import Leaf, leaf_of
from virt_operator.certificates.rollover import read_authority, trust_data
from virt_operator.certificates.rotation import DEFAULT
from virt_operator.certificates.secret import AUTHORITY_SECRET, data_of
from virt_operator.change.stopping import coming_back
from virt_operator.change.versions import is_older
from virt_operator.settings import Settings
from virt_operator.strategy import desired
from virt_operator.strategy.desired import managed_labels
from virt_operator.strategy.hardware_job import PAIR, hardware_job
from virt_operator.strategy.install_strategy import strategy_of, to_config_map
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.operator_rbac import operator_rbac
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import Body, Ref, ref_of
from virt_operator.strategy.settings import InstallSettings
from virt_operator.strategy.trust import trusting
from virt_operator.suite.observed import Comparison, Observed, OwnedObject, PodObject, SuiteObject
from virt_operator.suite.spec import install_settings

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
OPERATOR = Settings("kubevirt", "virt-operator-0", "registry.example:5000/suite", "v1.2.3", "v1.2.3")
INSTALL = InstallSettings("kubevirt", "registry.example:5000/suite", "v1.2.3")
HELD = {
    namespace: tuple(
        rule
        for body in operator_rbac(INSTALL)
        if body["kind"] == "ClusterRole" or body["metadata"].get("namespace") == namespace
        for rule in body.get("rules", ())
    )
    for namespace in ("kubevirt", "kube-system")
}
BACK = WayBack(
    version=INSTALL.tag,
    registry=INSTALL.registry,
    release=OPERATOR.release,
    level=1,
    deployment_id=INSTALL.deployment_id,
    since="2026-01-31T10:00:00Z",
    hardware_at="2026-01-31T10:00:00Z",
)
API = Ref("Deployment", "kubevirt", "virt-api")
CONTROLLER = Ref("Deployment", "kubevirt", "virt-controller")
HANDLER = Ref("DaemonSet", "kubevirt", "virt-handler")
API_SERVICE = Ref("APIService", "", "v1.subresources.kubevirt.io")
FINALIZER = "kubevirt.io/foregroundDeleteKubeVirt"


def desired_objects(settings: InstallSettings = INSTALL, release: str = "") -> tuple[Body, ...]:
    """The objects of a release, which is called like its tag unless the test says otherwise."""
    return desired.desired_objects(settings, release or settings.tag)


def suite(spec: dict[str, Any] | None = None, status: KubeVirtStatus | None = None, **meta: Any) -> SuiteObject:
    fields = {"uid": "uid-1", "generation": 1, "finalizers": [FINALIZER], "creation_timestamp": "2026-01-31T09:00:00Z"}
    metadata = ObjectMeta(**{"name": "kubevirt", "namespace": "kubevirt", **fields, **meta})
    return SuiteObject(metadata, spec or {}, status or KubeVirtStatus())


def deployed() -> KubeVirtStatus:
    return KubeVirtStatus(
        phase="Deployed",
        observed_kube_virt_version=INSTALL.tag,
        observed_release=OPERATOR.release,
        observed_deployment_id=INSTALL.deployment_id,
        target_deployment_id=INSTALL.deployment_id,
    )


def leaves(*components: str) -> tuple[Leaf, ...]:
    """The leaves of components, else of those that have one in this release."""
    found = [
        leaf_of(f"kubevirt-{component}-certs", "kubevirt")
        for component in components or ("virt-api", "virt-controller")
    ]
    return tuple(leaf for leaf in found if leaf is not None)


def certificates(now: datetime = NOW) -> dict[str, KeyPair]:
    authority = new_authority(now, DEFAULT.authority.duration)
    life = DEFAULT.leaf.duration
    wanted = leaves()
    made = {leaf.secret: new_leaf(authority, leaf.common_name, leaf.dns_names, now, life) for leaf in wanted}
    return {AUTHORITY_SECRET: authority, **made}


def live(body: Body, status: dict[str, Any]) -> OwnedObject:
    """`body` as the API server would return it."""
    full = copy.deepcopy(body)
    full["metadata"] |= {"uid": f"uid-{body['metadata']['name']}", "resourceVersion": "7", "generation": 1}
    return msgspec.json.decode(msgspec.json.encode({**full, "status": status}), type=OwnedObject)


def ready_status(body: Body) -> dict[str, Any]:
    replicas = body.get("spec", {}).get("replicas", 0)
    return {
        "conditions": [{"type": kind, "status": "True"} for kind in ("Established", "Available")],
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "desiredNumberScheduled": 1,
        "numberReady": 1,
    }


def pod(component: str, template_hash: str, *, ready: bool = True, name: str = "", **status: Any) -> PodObject:
    meta = ObjectMeta(
        name or f"{component}-0",
        "kubevirt",
        uid=f"uid-{name or component}",
        labels={"kubevirt.io": component},
        annotations={TEMPLATE_HASH: template_hash},
    )
    conditions = [{"type": "Ready", "status": str(ready)}]
    return PodObject(meta, {}, {"conditions": conditions, **status})


def handler_hash(settings: InstallSettings = INSTALL) -> str:
    found = next(body for body in desired_objects(settings) if body["kind"] == "DaemonSet")
    annotation: str = found["spec"]["template"]["metadata"]["annotations"][TEMPLATE_HASH]
    return annotation


def installed(settings: InstallSettings = INSTALL, pairs: dict[str, KeyPair] | None = None) -> Observed:
    """Everything there, as desired, and ready."""
    pairs = pairs if pairs is not None else certificates()
    bundle = b64encode(pairs[AUTHORITY_SECRET].bundle).decode()
    owned = {ref_of(body): live(trusting(body, bundle), ready_status(body)) for body in desired_objects(settings)}
    owned |= strategies(settings)
    for name, pair in pairs.items():
        if name != AUTHORITY_SECRET:
            body: Body = {
                "metadata": {"name": name, "namespace": "kubevirt", "labels": managed_labels()},
                "data": data_of(pair),
            }
            owned[Ref("Secret", "kubevirt", name)] = live(body, {})
    known = read_authority(data_of(pairs[AUTHORITY_SECRET]))
    assert known is not None
    trust = {"metadata": {"name": TRUST_SECRET, "namespace": "kubevirt", "labels": managed_labels()}}
    owned[Ref("Secret", "kubevirt", TRUST_SECRET)] = live({**trust, "data": trust_data(known)}, {})
    handler = pod("virt-handler", handler_hash(settings))
    state = Observed(
        now=NOW,
        suite=suite(status=deployed()),
        owned=owned,
        pods=(handler,),
        authority=known,
        authority_version="7",
    )
    return compared(replace(state, operator=own_deployment(), held=HELD), settings)


def compared(observed: Observed, settings: InstallSettings = INSTALL) -> Observed:
    """`observed` after a dry run for each object, in which nothing was found that others changed."""
    assert observed.authority is not None
    bundle = b64encode(observed.authority.bundle).decode()
    found = {}
    for body in desired_objects(settings):
        ref, wanted = ref_of(body), trusting(body, bundle)
        if ref in observed.owned:
            found[ref] = Comparison(wanted, observed.owned[ref].parts, None)
    return replace(observed, compared=found)


def strategies(*settings: InstallSettings, release: str = "") -> dict[Ref, OwnedObject]:
    """The ConfigMaps that the Jobs of `release` would have written."""
    made = {}
    for chosen in settings:
        body: Body = msgspec.json.decode(_printed(chosen.to_json(), release or chosen.tag))
        made[ref_of(body)] = live(body, {})
    return made


@cache
def _printed(settings_json: str, release: str) -> bytes:
    settings = InstallSettings.from_json(settings_json)
    return msgspec.json.encode(to_config_map(strategy_of(settings, settings.deployment_id, release), settings))


def own_deployment(settings: InstallSettings = INSTALL) -> OwnedObject:
    body = next(body for body in operator_objects(settings) if body["kind"] == "Deployment")
    return live(body, ready_status(body))


def expecting(observed: Observed, spec: dict[str, Any], release: str = OPERATOR.release) -> Observed:
    """`observed` with another spec, its strategy printed by `release`, the operator being of that image already.
    Towards a newer release the way back is recorded."""
    wanted = install_settings(spec, OPERATOR)
    suite = msgspec.structs.replace(observed.suite, spec=spec) if observed.suite is not None else None
    if suite is not None and release != OPERATOR.release and not is_older(release, OPERATOR.release):
        suite = recorded(suite, wanted)
    return replace(observed, suite=suite, owned={**observed.owned, **strategies(wanted, release=release)})


def recorded(suite: SuiteObject, target: InstallSettings = INSTALL) -> SuiteObject:
    """`suite` with a way back to the release that is installed, and what it and the target know of hardware."""
    before = coming_back(suite, target).image("virt-launcher")
    pair = hardware_job(before, target)["metadata"]["labels"][PAIR]
    back = msgspec.structs.replace(BACK, hardware_of=pair)
    status = msgspec.structs.replace(suite.status, upgrade=Upgrade(way_back=back, level=BACK.level))
    return msgspec.structs.replace(suite, status=status)


def settled_definitions(observed: Observed, tag: str) -> Observed:
    """`observed` with everything but the workloads as `tag` has it."""
    theirs = installed(msgspec.structs.replace(INSTALL, tag=tag)).owned
    workloads = ("Deployment", "DaemonSet", "Secret", "ConfigMap")
    settled = {ref: stored for ref, stored in theirs.items() if ref.kind not in workloads}
    return replace(observed, owned={**observed.owned, **settled})


def without(observed: Observed, *refs: Ref) -> Observed:
    return replace(observed, owned={ref: stored for ref, stored in observed.owned.items() if ref not in refs})


def changed(observed: Observed, ref: Ref, stored: OwnedObject) -> Observed:
    return replace(observed, owned={**observed.owned, ref: stored})


def kinds(actions: Iterable[object]) -> list[str]:
    return [type(action).__name__ for action in actions]

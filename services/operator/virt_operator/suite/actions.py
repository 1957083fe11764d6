"""The closed set of the operator's actions. Planned by plan.py, executed by execute.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from virt_core.objects.meta import ObjectMeta, ObjectReference
from virt_core.objects.upgrade_status import WayBack

from virt_operator.certificates.plan import Leaf
from virt_operator.certificates.rollover import Authority
from virt_operator.peers.answer import SuitePod
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import OwnedObject, SuiteObject

PROBES_AT_ONCE = 50
"""How many of Prove, ProveWork and SurveyGuests are carried out at a time, however many nodes a wave has."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Add our finalizer, before anything is installed, so that a removal leaves nothing behind."""

    meta: ObjectMeta
    """Metadata of the observed KubeVirt object."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Remove our finalizer when nothing of the suite is left. Only on an object that is being deleted."""

    meta: ObjectMeta


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a desired object that is absent. Repeating it changes nothing."""

    ref: Ref
    body: Body
    why: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Compute the repaired object by a dry run, with the API server's defaults, allocations and admission. All other
    differences of the live object are drift. Changes nothing."""

    ref: Ref
    body: Body
    live: OwnedObject


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace all parts of an object that the suite owns, and merge its labels and annotations with those of others.
    Server-side apply would keep additions by others and merge keyed lists. If an immutable field differs, the object is
    deleted, and the next pass applies it."""

    ref: Ref
    body: Body
    live: OwnedObject
    why: str
    """The path of the first difference."""


@dataclass(frozen=True, slots=True)
class ApplyOwn:
    """Server-side apply of the operator's own objects of another release. Its Deployment moves to that release's image,
    and this process will be replaced."""

    bodies: tuple[Body, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object of the suite by UID."""

    ref: Ref
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class Beside:
    """An action of which nothing depends. If the API server refuses it, the next pass observes that, and nothing else
    fails. Only after all others."""

    action: Apply | Compare | Replace | Delete

    @property
    def ref(self) -> Ref:
        """Its object."""
        return self.action.ref


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete an old pod: of an OnDelete DaemonSet those of a wave or a single one, of virt-controller the leader."""

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class Prove:
    """Probe a pod of a component once. The result is observed by the next pass. Changes nothing."""

    pod: SuitePod
    uid: str
    release: str
    """The release that it shall be of."""

    feature_level: int
    lenient: bool = False
    """Whether the pod may be of a release that has not all probes: on a way back."""

    excused: frozenset[str] = frozenset()
    """UIDs of guests whose launchers did not answer the handler of before either."""


@dataclass(frozen=True, slots=True)
class ProveWork:
    """Have a pod of virt-controller that leads reconcile a guest of the suite's own, or a virt-handler run one. It is
    deleted again."""

    pod: SuitePod
    uid: str
    owner: ObjectReference
    """The KubeVirt object, with which the guest goes if nobody else deletes it."""


@dataclass(frozen=True, slots=True)
class SurveyGuests:
    """Ask an old virt-handler, before it is replaced, which launchers answer it. Changes nothing."""

    pod: SuitePod
    uid: str


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """Read what both launchers' images have printed in a pod (strategy/hardware_job.py). The result is observed by the
    next pass. Changes nothing."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class ReviewWayBack:
    """List what a roll back would not bring back (preflight/ledger.py). The result is observed by the next pass.
    Changes nothing."""

    moment: str
    suite: SuiteObject
    operator: Settings
    way_back: WayBack
    before: InstallStrategy | None
    """The strategy of the release to go back to."""

    installed: InstallStrategy
    definitions: Mapping[str, OwnedObject]
    """The live ones by name."""


@dataclass(frozen=True, slots=True)
class UnmarkNode:
    """Remove the handler's label and annotation from a Node. Only if no handler runs that would write them again."""

    name: str


@dataclass(frozen=True, slots=True)
class IssueAuthority:
    """Create a new authority: the successor of `before`, or the first one. `seen` is the Secret's resourceVersion."""

    before: Authority | None
    life: timedelta
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class UpdateAuthority:
    """Write the next step of a rollover."""

    to: Authority
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class IssueLeaf:
    """Make a leaf signed by `authority`; `seen` as above, None if there is no Secret yet."""

    leaf: Leaf
    authority: Authority
    seen: str | None


@dataclass(frozen=True, slots=True)
class WriteBundle:
    """Tell a component which authorities to trust, its leaf staying as it is."""

    secret: str
    bundle: bytes
    seen: str


@dataclass(frozen=True, slots=True)
class WriteTrust:
    """Tell handlers, whose keys are in no Secret, whom to trust and how leaves are issued; `seen` as for IssueLeaf."""

    data: Mapping[str, str]
    seen: str | None


Action = (
    AddFinalizer
    | RemoveFinalizer
    | Apply
    | Compare
    | Replace
    | ApplyOwn
    | Delete
    | Beside
    | DeletePod
    | Prove
    | ProveWork
    | SurveyGuests
    | ReadRecords
    | ReviewWayBack
    | UnmarkNode
    | IssueAuthority
    | UpdateAuthority
    | IssueLeaf
    | WriteBundle
    | WriteTrust
)


def target_of(action: Action) -> str:
    """What an action is done to, as a message names it."""
    match action:
        case Apply(ref=ref) | Replace(ref=ref) | Compare(ref=ref) | Delete(ref=ref) | Beside(ref=ref):
            what = str(ref)
        case ApplyOwn():
            what = "virt-operator's own objects"
        case ReviewWayBack():
            what = "review of the way back"
        case DeletePod(name=name) | ReadRecords(pod=name):
            what = f"Pod {name}"
        case Prove(pod=pod) | ProveWork(pod=pod) | SurveyGuests(pod=pod):
            what = f"Pod {pod.name}"
        case UnmarkNode(name=name):
            what = f"Node {name}"
        case IssueAuthority() | UpdateAuthority():
            what = "certificate authority"
        case IssueLeaf(leaf=leaf):
            what = f"Secret {leaf.secret}"
        case WriteBundle(secret=secret):
            what = f"Secret {secret}"
        case WriteTrust():
            what = f"Secret {TRUST_SECRET}"
        case AddFinalizer() | RemoveFinalizer():
            what = "finalizer of the KubeVirt object"
        case _:
            assert_never(action)
    return what


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Why a plan goes no further now. Nothing is done about it: what is waited for is watched."""

    what: str
    """For example "DaemonSet kubevirt/virt-handler"."""

    why: str
    """What is known of the reason, for example a pod's "ImagePullBackOff" with the image."""

    step: str = ""
    """The named step of the operation that this belongs to (plan.py)."""

"""Everything that the operator can do to a cluster: a closed union. Planned by plan.py, carried out by execute.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from virt_core.objects.meta import ObjectMeta

from virt_operator.certificates.plan import Leaf
from virt_operator.certificates.rollover import Authority
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.observed import OwnedObject


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Before anything is installed, so that nothing is left behind when the object is deleted."""

    meta: ObjectMeta
    """Of the KubeVirt object, as observed."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """When nothing of the suite is left. Legal only on an object that is being deleted."""

    meta: ObjectMeta


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a desired object that is absent. Repeating it changes nothing."""

    ref: Ref
    body: Body
    why: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Ask the API server, by a dry run, what the desired object becomes in the place of the live one, with its defaults
    and allocations and what admission adds. Whatever the live object has otherwise is drift. Changes nothing."""

    ref: Ref
    body: Body
    live: OwnedObject


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace every part of an object that belongs to the suite, and put its labels and annotations beside those of
    others. Server-side apply would leave what others added, and merges keyed lists. An object of which an immutable
    field differs is deleted, and applied by the next pass."""

    ref: Ref
    body: Body
    live: OwnedObject
    why: str
    """The path of the first difference."""


@dataclass(frozen=True, slots=True)
class ApplyOwn:
    """Server-side apply of the operator's own objects as another release has them: its Deployment moves to that
    release's image, and this process is about to be replaced."""

    bodies: tuple[Body, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object of ours, that very one."""

    ref: Ref
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete one old pod of a DaemonSet of type OnDelete. Legal only while all its other pods are ready."""

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class UnmarkNode:
    """Take the handler's label and annotation off a Node. Legal only when no handler runs, which would write them
    again."""

    name: str


@dataclass(frozen=True, slots=True)
class IssueAuthority:
    """Make a new authority: the successor of `before`, or the first one. `seen` is the version of the Secret."""

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
    | DeletePod
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
        case Apply(ref=ref) | Replace(ref=ref) | Compare(ref=ref) | Delete(ref=ref):
            what = str(ref)
        case ApplyOwn():
            what = "virt-operator's own objects"
        case DeletePod(name=name):
            what = f"Pod {name}"
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

"""What a pass does about certificates: what is due (certificates/plan.py) as actions on Secrets. Pure.

Called by install/plan.py.
"""

from __future__ import annotations

from virt_operator.certificates import plan
from virt_operator.certificates.secret import AUTHORITY_SECRET
from virt_operator.install.actions import Action, IssueAuthority, IssueLeaf, WriteBundle
from virt_operator.install.observed import Observed
from virt_operator.strategy.ref import Ref


def due_now(observed: Observed) -> plan.Due:
    """What to renew, from the Secrets that were seen."""
    assert observed.suite is not None
    pairs = {ref.name: live.key_pair() for ref, live in observed.owned.items() if ref.kind == "Secret"}
    if observed.authority is not None:
        pairs[AUTHORITY_SECRET] = observed.authority.key_pair()
    return plan.due(pairs, plan.leaves(observed.suite.metadata.namespace), observed.now)


def actions(observed: Observed, due: plan.Due) -> tuple[Action, ...]:
    """How to do it. An authority that is absent is not made here: certificates/authority.py does that."""
    assert observed.suite is not None
    namespace = observed.suite.metadata.namespace

    def seen(secret: str) -> str | None:
        live = observed.owned.get(Ref("Secret", namespace, secret))
        return live.metadata.resource_version if live is not None else None

    if due.renew_authority:
        if observed.authority is None:
            return ()
        trusted = due.authority.bundle if due.authority is not None else b""
        return (IssueAuthority(trusted, observed.authority.metadata.resource_version),)
    assert due.authority is not None
    issued = tuple(IssueLeaf(leaf, due.authority, seen(leaf.secret)) for leaf in due.leaves)
    return issued + tuple(WriteBundle(one, due.authority.bundle, seen(one) or "") for one in due.bundles)


def has_leaf(observed: Observed, component: str) -> bool:
    """Whether the Secret is there that the component's pods mount."""
    assert observed.suite is not None
    return Ref("Secret", observed.suite.metadata.namespace, f"kubevirt-{component}-certs") in observed.owned


def secrets(namespace: str) -> frozenset[Ref]:
    """The Secrets with leaves that this release has."""
    return frozenset(Ref("Secret", namespace, leaf.secret) for leaf in plan.leaves(namespace))

"""A role with permissions that the operator does not hold: an older operator was applied by its manifest."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from virt_core.kube.errors import Forbidden
from virt_operator.change.plan import plan
from virt_operator.reconcile.failure import Failure
from virt_operator.strategy.ref import Body, Ref
from virt_operator.suite.actions import Action, Apply, Compare, Replace
from virt_operator.suite.observed import Observed, OwnedObject

from .suites import HANDLER, INSTALL, OPERATOR, changed, deployed, expecting, installed, own_deployment, suite

NEWER = msgspec.structs.replace(INSTALL, tag="blue")
ROLE, BINDING = Ref("ClusterRole", "", "kubevirt-handler"), Ref("ClusterRoleBinding", "", "kubevirt-handler")
UNHELD = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}
"""A permission of the newer release's virt-handler, which the older operator may not grant."""


def with_rules(observed: Observed, rules: list[Body]) -> Observed:
    encoded = msgspec.Raw(msgspec.json.encode(rules))
    return changed(observed, ROLE, msgspec.structs.replace(observed.owned[ROLE], rules=encoded))


def rules_of(stored: OwnedObject) -> list[Body]:
    found: list[Body] = stored.content()["rules"]
    return found


def rolled_back() -> Observed:
    """A newer suite of the same version number runs, and the operator is of the older one again."""
    status = msgspec.structs.replace(deployed(), observed_deployment_id=NEWER.deployment_id)
    observed = replace(installed(NEWER), suite=suite(status=status), operator=own_deployment(), compared={})
    observed = expecting(observed, {})
    return with_rules(observed, [*rules_of(observed.owned[ROLE]), UNHELD])


def touched(actions: tuple[Action, ...]) -> set[Ref]:
    return {action.ref for action in actions if isinstance(action, Apply | Replace | Compare)}


def test_a_role_that_the_operator_may_not_write_stays_until_the_change_is_done() -> None:
    decided = plan(rolled_back(), OPERATOR)
    assert decided.operation == "Update" and Ref("ClusterRole", "", "kubevirt-controller") in touched(decided.actions)
    assert touched(decided.actions).isdisjoint({ROLE, BINDING})
    assert {wait.what for wait in decided.waits}.isdisjoint({str(ROLE), str(BINDING)})


def test_after_the_change_the_role_is_narrowed_and_then_its_binding_is_written() -> None:
    observed = installed()
    theirs = installed(NEWER).owned
    observed = replace(observed, owned={**observed.owned, ROLE: theirs[ROLE], BINDING: theirs[BINDING]})
    wide = with_rules(observed, [*rules_of(observed.owned[ROLE]), UNHELD])
    (narrowed,) = plan(wide, OPERATOR).actions
    assert isinstance(narrowed, Replace) and narrowed.ref == ROLE and UNHELD not in narrowed.body["rules"]
    after = replace(observed, owned={**observed.owned, ROLE: installed().owned[ROLE]})
    (written,) = plan(after, OPERATOR).actions
    assert isinstance(written, Replace) and written.ref == BINDING


@pytest.mark.parametrize("rules", [[UNHELD], []])
def test_a_role_that_lacks_something_is_written_whatever_it_has(rules: list[Body]) -> None:
    observed = rolled_back()
    assert ROLE in touched(plan(with_rules(observed, rules), OPERATOR).actions)
    assert HANDLER not in touched(plan(with_rules(observed, rules), OPERATOR).actions)


def test_a_refused_role_says_what_helps() -> None:
    error = Forbidden(403, 'user "kubevirt-operator" is attempting to grant RBAC permissions not currently held')
    text = str(Failure(str(ROLE), error))
    assert "apply the roles of kubevirt-operator.yaml of the newest release that has run" in text
    assert "apply" not in str(Failure(str(HANDLER), Forbidden(403, "a quota is exceeded")))

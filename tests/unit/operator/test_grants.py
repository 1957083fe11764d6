"""A role with permissions that the operator does not hold: an older operator was applied by its manifest."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import msgspec
from virt_core.kube.errors import Forbidden
from virt_core.testing.patches import json_patch
from virt_operator.change.plan import plan
from virt_operator.reconcile.failure import Failure
from virt_operator.strategy.ref import Body, Ref
from virt_operator.strategy.rules import covers
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


def test_a_role_that_lacks_something_and_has_nothing_that_is_not_held_is_written() -> None:
    decided = plan(with_rules(rolled_back(), []), OPERATOR)
    assert ROLE in touched(decided.actions) and HANDLER not in touched(decided.actions)


def test_a_role_that_lacks_something_and_may_not_be_written_says_by_which_command_it_is_mended() -> None:
    observed = rolled_back()
    *others, lacking, _ = rules_of(observed.owned[ROLE])
    decided = plan(with_rules(observed, [*others, UNHELD]), OPERATOR)
    assert touched(decided.actions).isdisjoint({ROLE, BINDING, HANDLER})
    assert Ref("ClusterRole", "", "kubevirt-controller") in touched(decided.actions)
    why = next(wait.why for wait in decided.waits if wait.what == str(ROLE))
    assert covers([], [lacking])[0] in why and "does not hold: example.com things get; run kubectl patch" in why
    command = shlex.split(why.rpartition("run ")[2])
    assert command[:5] == ["kubectl", "patch", "clusterrole", "kubevirt-handler", "--type=json"]
    patched = json_patch({"metadata": {}, "rules": [*others, UNHELD]}, json.loads(command[-1]))["rules"]
    after = plan(with_rules(observed, patched), OPERATOR)
    assert str(ROLE) not in {wait.what for wait in after.waits} and ROLE not in touched(after.actions)


def test_a_command_that_would_not_fit_into_a_condition_is_replaced_by_the_manifest_to_apply() -> None:
    decided = plan(with_rules(rolled_back(), [UNHELD]), OPERATOR)
    why = next(wait.why for wait in decided.waits if wait.what == str(ROLE))
    assert (
        "apply the roles of kubevirt-operator.yaml" in why
        and "or delete the role" in why
        and "kubectl" not in why
        and len(why) <= 512
    )


def test_a_refused_role_says_what_helps() -> None:
    error = Forbidden(403, 'user "kubevirt-operator" is attempting to grant RBAC permissions not currently held')
    text = str(Failure(str(ROLE), error))
    assert "apply the roles of kubevirt-operator.yaml of the newest release that has run" in text
    assert "apply" not in str(Failure(str(HANDLER), Forbidden(403, "a quota is exceeded")))

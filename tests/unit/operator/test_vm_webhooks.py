"""When virt-api reviews VirtualMachines and replica sets."""

from __future__ import annotations

from virt_operator.strategy.webhooks import webhooks


def test_neither_the_suites_own_writes_nor_deleted_objects_wait_for_virt_api() -> None:
    hooks = [hook for body in webhooks("kubevirt") for hook in body["webhooks"]]
    kinds = (["virtualmachines"], ["virtualmachineinstancereplicasets"])
    ours = [hook for hook in hooks if hook["rules"][0]["resources"] in kinds]
    assert len(ours) == 3
    for hook in ours:
        expressions = [condition["expression"] for condition in hook["matchConditions"]]
        assert any("system:serviceaccount:kubevirt:kubevirt-controller" in expression for expression in expressions)
        assert "!has(object.metadata.deletionTimestamp)" in expressions


def test_instance_types_and_preferences_of_users_are_reviewed_and_those_of_the_release_are_not() -> None:
    hooks = [hook for body in webhooks("kubevirt") for hook in body["webhooks"]]
    ours = [hook for hook in hooks if hook["rules"][0]["apiGroups"] == ["instancetype.kubevirt.io"]]
    assert [(hook["rules"][0]["resources"], hook["rules"][0]["scope"]) for hook in ours] == [
        (["virtualmachineinstancetypes"], "Namespaced"),
        (["virtualmachineclusterinstancetypes"], "Cluster"),
        (["virtualmachinepreferences"], "Namespaced"),
        (["virtualmachineclusterpreferences"], "Cluster"),
    ]
    for hook in ours:
        assert hook["clientConfig"]["service"]["path"] == f"/{hook['rules'][0]['resources'][0]}-validate"
        (condition,) = hook["matchConditions"]
        assert "kubevirt-operator" in condition["expression"]


def test_only_evictions_of_launcher_pods_wait_for_virt_api() -> None:
    (hook,) = [
        hook
        for body in webhooks("kubevirt")
        for hook in body["webhooks"]
        if hook["rules"][0]["resources"] == ["pods/eviction"]
    ]
    assert (hook["name"], hook["failurePolicy"]) == ("virt-launcher-eviction-interceptor.kubevirt.io", "Fail")
    assert (hook["rules"][0]["apiGroups"], hook["rules"][0]["operations"]) == ([""], ["CREATE"])
    assert [condition["expression"] for condition in hook["matchConditions"]] == [
        "request.name.startsWith('virt-launcher-')"
    ]
    assert hook["sideEffects"] == "NoneOnDryRun"


def test_migrations_and_policies_are_reviewed() -> None:
    hooks = [(body["kind"], hook) for body in webhooks("kubevirt") for hook in body["webhooks"]]
    found = {
        hook["clientConfig"]["service"]["path"]: (kind[:8], hook["rules"][0]["operations"], hook["rules"][0]["scope"])
        for kind, hook in hooks
        if "migration" in hook["name"]
    }
    assert found == {
        "/migration-mutate-create": ("Mutating", ["CREATE"], "Namespaced"),
        "/migration-validate-create": ("Validati", ["CREATE"], "Namespaced"),
        "/migration-validate-update": ("Validati", ["UPDATE"], "Namespaced"),
        "/migration-policy-validate-create": ("Validati", ["CREATE", "UPDATE"], "Cluster"),
    }

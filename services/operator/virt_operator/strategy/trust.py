"""Tells the API server which authorities the suite's servers are to be trusted by. Pure; called by
change/objects.py and change/renewals.py.

A strategy is printed without them: they are of the cluster, not of the release.
"""

from __future__ import annotations

from virt_operator.strategy.ref import Body

_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
REGISTRATIONS = ("APIService", *_WEBHOOKS)
"""Kinds by which the API server is sent to virt-api."""


def trusting(body: Body, bundle: str) -> Body:
    """`body` with `bundle` (base64 of PEM) wherever its kind names one."""
    if body["kind"] == "APIService":
        return {**body, "spec": {**body["spec"], "caBundle": bundle}}
    if body["kind"] in _WEBHOOKS:
        hooks = [
            {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": bundle}} for webhook in body["webhooks"]
        ]
        return {**body, "webhooks": hooks}
    return body


def trusts(body: Body, bundle: str) -> bool:
    """Whether the API server has `bundle` wherever a live object's kind names one."""
    if body["kind"] == "APIService":
        return bool(body["spec"].get("caBundle") == bundle)
    return all(webhook["clientConfig"].get("caBundle") == bundle for webhook in body.get("webhooks") or ())

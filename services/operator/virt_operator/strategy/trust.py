"""Adds CA bundles to APIServices and webhooks, by which the API server trusts the suite's servers. Pure; called by
change/objects.py and change/renewals.py.

A strategy is printed without bundles, because they depend on the cluster and not on the release.
"""

from __future__ import annotations

from virt_operator.strategy.ref import Body

_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
REGISTRATIONS = ("APIService", *_WEBHOOKS)
"""Kinds through which the API server calls virt-api."""


def trusting(body: Body, bundle: str) -> Body:
    """`body` with `bundle` (base64 of PEM) in all fields for bundles."""
    if body["kind"] == "APIService":
        return {**body, "spec": {**body["spec"], "caBundle": bundle}}
    if body["kind"] in _WEBHOOKS:
        hooks = [
            {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": bundle}} for webhook in body["webhooks"]
        ]
        return {**body, "webhooks": hooks}
    return body


def trusts(body: Body, bundle: str) -> bool:
    """Whether all fields for bundles of a live object have `bundle`."""
    if body["kind"] == "APIService":
        return bool(body["spec"].get("caBundle") == bundle)
    return all(webhook["clientConfig"].get("caBundle") == bundle for webhook in body.get("webhooks") or ())

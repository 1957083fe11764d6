"""The suite's authorities, by which virt-operator's certificate is known. Called by replica.py.

They are read where the API server itself reads them: in the registration of virt-operator's webhook. No key is beside
them, and it is there without a KubeVirt object, too.
"""

from __future__ import annotations

import base64
import binascii

from virt_core.conventions.webhooks import OPERATOR_VALIDATOR
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import KubeError, NotFound
from virt_core.kube.resource import VALIDATING_WEBHOOK_CONFIGURATIONS

from virt_admin.outcome import CannotTell
from virt_admin.suite.listing import refused

_WHAT = f"ValidatingWebhookConfiguration {OPERATOR_VALIDATOR}"


async def suite_authority(client: KubeClient) -> tuple[str, bytes]:
    """The namespace of virt-operator, and the authorities (PEM).

    Raises:
        CannotTell: they cannot be read.
    """
    try:
        found = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, None, OPERATOR_VALIDATOR)
    except NotFound:
        raise CannotTell(f"{_WHAT} does not exist: virt-operator is not installed, or has never been ready") from None
    except KubeError as error:
        raise refused(f"get {_WHAT}", error) from error
    try:
        return _content(found)
    except (KeyError, IndexError, TypeError, binascii.Error) as error:
        raise CannotTell(f"{_WHAT} does not name virt-operator's authority") from error


def _content(found: Object) -> tuple[str, bytes]:
    registered = found["webhooks"][0]["clientConfig"]
    return registered["service"]["namespace"], base64.b64decode(registered["caBundle"], validate=True)

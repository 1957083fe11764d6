"""Has a new virt-api review a VirtualMachineInstance, directly at its pod. Called by prove.py.

Through the API server an old replica might answer. The webhooks are open to everyone, and the review stores nothing.
"""

from __future__ import annotations

import ssl
import uuid
from typing import Any

import aiohttp
import msgspec
from virt_core.conventions import components
from virt_core.conventions.component_pod import API_PORT
from virt_core.conventions.webhooks import VALIDATE_CREATE
from virt_core.rpc.tls import Certificates

from virt_operator.peers.answer import SuitePod
from virt_operator.suite.observed import Fault

ADMISSION = "admission"
"""Name of the probe."""

_VALID: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "kubevirt-upgrade-probe"},
    "spec": {"domain": {"devices": {}, "resources": {"requests": {"memory": "64Mi"}}}},
}


class _Status(msgspec.Struct, frozen=True):
    message: str = ""


class _Response(msgspec.Struct, frozen=True):
    allowed: bool
    status: _Status | None = None


class _Review(msgspec.Struct, frozen=True):
    response: _Response


async def admission_fault(
    pod: SuitePod, certificates: Certificates, namespace: str, limit: float, port: int = API_PORT
) -> Fault | None:
    """Why the pod does not admit a valid machine within `limit` seconds; None if it does.

    Raises:
        OSError: there are no `certificates` yet.
    """
    meta = {"name": _VALID["metadata"]["name"], "namespace": namespace}
    request = {"uid": str(uuid.uuid4()), "operation": "CREATE", **meta, "object": {**_VALID, "metadata": meta}}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, "dryRun": True}}
    tls = ssl.create_default_context(cadata=certificates.bundle().decode())
    address = f"[{pod.address}]" if ":" in pod.address else pod.address
    url, name = f"https://{address}:{port}{VALIDATE_CREATE}", f"{components.API}.{namespace}.svc"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(limit)) as session,
            session.post(url, json=review, ssl=tls, server_hostname=name) as answer,
        ):
            if answer.status != 200:
                return Fault(ADMISSION, f"answers a review with status {answer.status}")
            response = msgspec.json.decode(await answer.read(), type=_Review).response
    except TimeoutError:
        return Fault(ADMISSION, f"no answer within {limit:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        return Fault(ADMISSION, f"no answer: {error}")
    except msgspec.MsgspecError as error:
        return Fault(ADMISSION, f"answers something else than a review: {error}")
    if response.allowed:
        return None
    why = response.status.message if response.status is not None else ""
    return Fault(ADMISSION, f"refuses a valid VirtualMachineInstance: {why}")

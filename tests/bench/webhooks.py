"""How long virt-api's webhooks take for a VirtualMachine: `python -m tests.bench webhooks`.

Measured twice. At their caller: the API server's metric has only coarse buckets, so what it gives is the mean and the
bucket that holds the 99th percentile. And by calls of a virt-api's pod, a new TLS connection for each as the API server
makes them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from typing import Any

import aiohttp
from virt_core.conventions.webhooks import VM_MUTATE, VM_VALIDATE
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINES

from tests.bench.percentiles import milliseconds, summary
from tests.e2e.cluster import NAMESPACE, get, kubectl
from tests.e2e.vm_fleet import guestless_vm

CALLS = 300
_METRIC = "apiserver_admission_webhook_admission_duration_seconds"
_SAMPLE = re.compile(rf"{_METRIC}_(bucket|sum|count)\{{([^}}]*)\}} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Samples = dict[tuple[str, str, str], float]
"""By the webhook's name, kind of sample and upper bound of the bucket."""


def webhooks() -> dict[str, Any]:
    """Dry runs of creations, then calls."""
    before = _metric()
    dry_runs = asyncio.run(_dry_runs())
    found: dict[str, Any] = {"dry run of a creation, whole request": summary(dry_runs)}
    by_caller = _difference(before, _metric())
    found |= {f"{path} called": summary(asyncio.run(_calls(path))) for path in (VM_MUTATE, VM_VALIDATE)}
    print(f"\nwebhooks for a VirtualMachine, {CALLS} in sequence, milliseconds")
    for what, values in found.items():
        print(f"  {what:38} {milliseconds(values)}")
    for name, values in by_caller.items():
        print(f"  {name:38} mean {values['mean'] * 1000:6.1f}  p99 at most {values['p99 at most'] * 1000:.0f}")
    return {"seconds": found, "seconds at the API server": by_caller}


async def _dry_runs() -> list[float]:
    async with KubeClient.connect("bench") as client:
        return [await _dry_run(client, number) for number in range(CALLS)]


async def _dry_run(client: KubeClient, number: int) -> float:
    began = time.monotonic()
    await client.create(VIRTUAL_MACHINES, "default", guestless_vm(f"dry{number}"), dry_run=True)
    return time.monotonic() - began


async def _calls(path: str) -> list[float]:
    pod = get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-api")["items"][0]
    (port,) = get("service", "virt-api", "-n", NAMESPACE)["spec"]["ports"]
    url = f"https://{pod['status']['podIP']}:{port['targetPort']}{path}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate is for the Service's name
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "bench",
            "operation": "CREATE",
            "userInfo": {"username": "bench"},
            "object": guestless_vm("called"),
        },
    }
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        return [await _call(session, url, context, review) for _ in range(CALLS)]


async def _call(session: aiohttp.ClientSession, url: str, context: ssl.SSLContext, review: Any) -> float:
    began = time.monotonic()
    async with session.post(url, json=review, ssl=context) as response:
        answer = await response.json()
    assert answer["response"]["allowed"], answer
    return time.monotonic() - began


def _metric() -> Samples:
    """The samples of virt-api's webhooks for creations."""
    found: Samples = {}
    for kind, text, value in _SAMPLE.findall(kubectl("get", "--raw", "/metrics")):
        labels = dict(_LABEL.findall(text))
        if labels["name"].startswith(("virtualmachines-", "virtualmachine-")) and labels["operation"] == "CREATE":
            key = (labels["name"], kind, labels.get("le", ""))
            found[key] = found.get(key, 0.0) + float(value)
    return found


def _difference(before: Samples, after: Samples) -> dict[str, dict[str, float]]:
    grown = {key: value - before.get(key, 0.0) for key, value in after.items()}
    return {name: _of(name, grown) for name in sorted({name for name, _, _ in grown})}


def _of(webhook: str, grown: Samples) -> dict[str, float]:
    count = grown[webhook, "count", ""]
    buckets = {
        float(bound): value for (name, kind, bound), value in grown.items() if (name, kind) == (webhook, "bucket")
    }
    enough = [bound for bound, value in buckets.items() if value >= count * 0.99]
    return {"mean": grown[webhook, "sum", ""] / count, "p99 at most": min(enough), "count": count}

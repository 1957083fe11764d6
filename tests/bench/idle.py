"""Requests of an idle suite to the API server, by account and verb, from the audit log: `python -m tests.bench idle`.

Watches count when they are renewed, leases when they are. Whoever uses the cluster meanwhile is not counted, but what
the suite does for them is.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.audit import requests


def idle(seconds: float) -> dict[str, Any]:
    """Wait for `seconds`, count, print."""
    began = datetime.now(UTC)
    print(f"counting the requests of an idle suite for {seconds:.0f} s", flush=True)
    time.sleep(seconds)
    return counted(began, seconds)


def counted(began: datetime, seconds: float) -> dict[str, Any]:
    """Count the requests of `seconds` from `began`, print them."""
    found = requests(began, began + timedelta(seconds=seconds))
    counts = Counter((request.account, request.verb, request.resource or request.path) for request in found)
    total = sum(counts.values())
    print(f"API requests of an idle suite in {seconds:.0f} s: {total}, {total / seconds:.2f} each second")
    for (account, verb, resource), count in counts.most_common():
        print(f"  {account:22} {verb:8} {resource:50} {count:5}  {count / seconds:.3f}/s")
    rows = [{"account": a, "verb": v, "resource": r, "count": count} for (a, v, r), count in counts.most_common()]
    return {"seconds": seconds, "requests_per_second": round(total / seconds, 3), "requests": rows}

"""How the kubelet pulls images. Pure. The KubeVirt object, a VMI and the operator's command line say it in one word."""

from __future__ import annotations

ALWAYS, IF_NOT_PRESENT, NEVER = "Always", "IfNotPresent", "Never"
PULL_POLICIES = (ALWAYS, IF_NOT_PRESENT, NEVER)

"""The ConfigMap in which kube-apiserver publishes whose certificates it accepts. Pure. Names are Kubernetes'.

virt-api reads from it which front proxy to trust, virt-operator which authority signs administrators' certificates;
virt-operator binds both to the role that may read it.
"""

from __future__ import annotations

NAMESPACE = "kube-system"
NAME = "extension-apiserver-authentication"
READER = "extension-apiserver-authentication-reader"
"""Role in NAMESPACE."""

"""Names of the suite's components. Pure.

A component has the same name in its image, workload, Service, Lease, label `kubevirt.io`, certificates and logs.
"""

from __future__ import annotations

OPERATOR = "virt-operator"
API = "virt-api"
CONTROLLER = "virt-controller"
HANDLER = "virt-handler"
LAUNCHER = "virt-launcher"

INSTALLED = (API, CONTROLLER, HANDLER)
"""Components that the operator installs."""

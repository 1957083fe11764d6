"""Names of the suite's components. Pure.

Image, workload, Service, Lease, the label `kubevirt.io`, the common name of certificates and the logs of a component
all have its one name.
"""

from __future__ import annotations

OPERATOR = "virt-operator"
API = "virt-api"
CONTROLLER = "virt-controller"
HANDLER = "virt-handler"
LAUNCHER = "virt-launcher"

INSTALLED = (API, CONTROLLER, HANDLER)
"""Components that the operator installs."""

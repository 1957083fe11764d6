"""virt-operator's admin/v1: trust → portforward (a pod's port through the API server) → replica → ask → report."""

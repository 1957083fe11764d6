"""Code that the services share, by subject: conventions (names, ports, paths), objects and vmi (Kubernetes' and
KubeVirt's objects), kube (client), rpc, settings, logs, testing."""

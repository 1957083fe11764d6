"""Values that tests of several modules use: objects of Kubernetes and KubeVirt, suites, machines."""

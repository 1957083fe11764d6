"""The admission webhook for KubeVirt objects, on every replica: server.py → review.py → rules.py. registration.py
registers it, reachability.py checks through the API server that it is reachable."""

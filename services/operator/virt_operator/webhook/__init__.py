"""The admission webhook for KubeVirt objects, on every replica: server.py → review.py → rules.py; registration.py tells
the API server of it, reachability.py asks through the API server whether it is reached."""

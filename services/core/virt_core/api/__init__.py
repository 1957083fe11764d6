"""Kubernetes types as far as the suite reads them (msgspec), and what of KubeVirt's API it supports."""

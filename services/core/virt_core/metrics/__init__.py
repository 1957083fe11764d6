"""Metrics in Prometheus' text format: families of samples, how they are written, and the HTTPS port that serves them.

A service has a module that makes families of its state when somebody asks (`virt_*/metrics*`). It is imported then, not
at the start: without a Prometheus the library costs nothing. What has to be counted meanwhile is counted by plain
numbers where it happens.
"""

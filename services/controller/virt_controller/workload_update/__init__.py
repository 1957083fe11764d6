"""Workload updates: running guests get this release's launcher, by migration or by eviction."""

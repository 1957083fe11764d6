"""Thousands of machines on fake nodes: `python -m tests.bench scale`. Measures virt-controller; needs no cluster and no
privileges, but the machine for itself."""

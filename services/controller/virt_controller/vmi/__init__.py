"""Reconciles a VirtualMachineInstance: observe → plan → execute. The plan's patches include the status (status.py)."""

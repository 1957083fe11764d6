"""Starts the VirtualMachineInstances of this node in their launchers, and writes their status."""

"""One VirtualMachineInstance: observe → plan → execute. Status is part of the plan's patches (status.py)."""

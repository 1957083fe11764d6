"""VirtualMachines: observe.py → plan.py → execute.py; status.py computes what is reported."""

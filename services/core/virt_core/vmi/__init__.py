"""VirtualMachineInstance: its types, rules, defaults, admission and status. Pure."""

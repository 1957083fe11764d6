"""Validation rules for a VirtualMachineInstance's spec beyond its types, by subject. Pure."""

"""Translates a VirtualMachineInstance to the Machine for its launcher. Pure."""

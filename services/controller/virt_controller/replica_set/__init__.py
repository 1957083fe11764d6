"""The controller of VirtualMachineInstanceReplicaSets."""

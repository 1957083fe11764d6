"""VirtualMachineInstanceReplicaSet: types and admission."""

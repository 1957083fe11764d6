"""VirtualMachine: types, defaults and admission."""

"""VirtualMachineInstanceMigration and MigrationPolicy, as controller and virt-api read them."""

"""virt-operator: installs the suite, keeps it in sync, reports on it, removes it."""

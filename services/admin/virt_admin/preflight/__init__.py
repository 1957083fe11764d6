"""The plan of an upgrade, which virt-operator makes: ask → report → text."""

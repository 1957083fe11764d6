"""The gRPC services for virt-api (consoles as byte streams, commands and queries for launchers) and virt-operator."""

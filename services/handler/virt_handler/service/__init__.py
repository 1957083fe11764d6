"""The gRPC service for virt-api: consoles as byte streams, commands and queries for launchers."""

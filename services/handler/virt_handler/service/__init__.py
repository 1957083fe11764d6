"""What virt-api asks of this node: consoles as byte streams, commands and questions to launchers."""

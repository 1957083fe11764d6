"""Health of nodes and their handlers, and its consequences for the guests on them."""

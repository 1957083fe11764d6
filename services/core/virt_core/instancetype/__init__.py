"""Instance types and preferences: what a VirtualMachine names of them, and what they make of its template. Pure."""

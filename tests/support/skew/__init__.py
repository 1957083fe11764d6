"""Real processes of several releases call each other's contracts; what comes of it is a table (docs/skew.md)."""

"""`spec.customizeComponents`: validates and applies the user's patches to the suite's objects. Pure."""

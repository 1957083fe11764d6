"""`spec.customizeComponents`: patches that a user puts on the suite's objects, refused or applied. Pure."""

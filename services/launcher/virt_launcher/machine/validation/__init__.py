"""Whether a launcher can run a machine: every field and value of the Machine message. Pure."""

"""Why something does not work: read → case (frozen values) → rules by subject → findings."""

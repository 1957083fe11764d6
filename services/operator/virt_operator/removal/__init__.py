"""Plans the removal of the suite."""

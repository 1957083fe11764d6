"""What a pass does to remove the suite."""

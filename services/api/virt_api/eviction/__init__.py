"""The webhook that turns evictions of launcher pods into evacuations of their guests."""

"""What the API server has of the suite: lists or watches → observed → summary."""

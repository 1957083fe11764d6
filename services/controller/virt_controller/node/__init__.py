"""Whether nodes and their handlers can be reached, and what that means for the guests on them."""

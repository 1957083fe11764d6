"""How an object is read strictly, and how its refusals are worded. Pure."""

"""The suite's certificate authority and the leaves of its components: plan.py decides what is due, issue.py creates
it."""

"""One pass: inventory.py observes, change/ or removal/ plans, execute.py acts, status.py reports."""

"""GetInfo of every pod of the suite: calls (ask.py) and results (answer.py)."""

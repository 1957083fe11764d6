"""What every pod of the suite says of itself: GetInfo, asked (ask.py) and answered (answer.py)."""

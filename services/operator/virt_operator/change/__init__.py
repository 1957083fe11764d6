"""What a pass does to install, repair or update the suite. Pure, but for permission_review.py."""

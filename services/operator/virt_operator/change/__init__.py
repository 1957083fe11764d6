"""Plans installation, repair and updates of the suite. Pure except permission_review.py."""

"""Images that are run to see what they print: the plan of a change does it, and a change."""

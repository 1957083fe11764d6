"""The suite's own certificate authority and the leaves of its components: what is due (plan), and making it (issue)."""

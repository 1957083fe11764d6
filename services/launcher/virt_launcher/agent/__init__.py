"""The agent in the guest: what it says, and what it is asked to do. It is the guest's, so it may hang and lie."""

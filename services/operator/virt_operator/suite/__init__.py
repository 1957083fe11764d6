"""The observation of the suite, the possible actions, and the comparison of objects. Pure."""

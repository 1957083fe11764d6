"""The machine of this launcher: its record on disk, plan, actions and reported state."""

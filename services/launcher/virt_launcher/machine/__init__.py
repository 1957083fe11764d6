"""The one machine of this launcher: its record on disk, what is seen of it, what to do about it."""

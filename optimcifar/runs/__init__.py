"""A run's folder: its files, their names, and how they are written and read."""

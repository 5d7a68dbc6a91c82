"""Means, intervals, verdicts and their power. Knows nothing of runs."""

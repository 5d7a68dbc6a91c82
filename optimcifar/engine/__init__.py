"""Train many runs on a cluster of workers."""

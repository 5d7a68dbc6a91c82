"""Train several configurations over several seeds."""

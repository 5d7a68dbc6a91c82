"""``optimcifar compare`` and ``optimcifar report``: several configurations over several seeds, and what they show."""

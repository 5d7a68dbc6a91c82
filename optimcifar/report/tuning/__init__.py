"""What tuning with equal budgets shows: the trials, the settings chosen, and what they brought."""

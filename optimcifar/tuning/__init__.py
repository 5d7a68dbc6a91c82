"""Try values of hyperparameters: sweep some, or tune several configurations with equal budgets."""

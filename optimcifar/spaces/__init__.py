"""What values of hyperparameters are tried: ranges and choices, grids and quasi-random points."""

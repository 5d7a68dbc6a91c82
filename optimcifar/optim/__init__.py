"""Optimizers, parameter groups and learning-rate schedules that PyTorch does not have."""

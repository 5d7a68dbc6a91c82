"""Optimizers, parameter groups and learning-rate schedules beyond PyTorch's own."""

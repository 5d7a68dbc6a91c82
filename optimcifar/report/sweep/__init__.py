"""What a sweep shows: accuracy and costs over the values of one or two hyperparameters."""

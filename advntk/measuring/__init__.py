"""Floor 4: a predictor and its test images become a record."""

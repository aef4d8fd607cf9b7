"""Floor 2: attacks on any predictor."""

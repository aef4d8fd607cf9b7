"""Floor 0: mathematics, threat model, statistics, config and record types."""

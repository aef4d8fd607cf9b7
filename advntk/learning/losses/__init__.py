"""The registry of training losses: what the inner attack maximises, and what the update minimises, one loss a file."""

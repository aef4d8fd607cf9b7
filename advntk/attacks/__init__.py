"""Floor 2: attacks on any predictor."""

ATTACKS = "advntk.attacks.entries"
"""The registry of attacks."""

"""Floor 2: attacks on any predictor."""

from advntk.foundation import registry

ATTACKS = registry.ATTACKS
"""The registry of attacks."""

"""The theory, measured: finite networks in adversarial training by gradient flow, and their linearisations."""

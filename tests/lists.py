"""Lists of a suite that stay as they are when the default suite changes, for tests that are not about it."""

NETWORKS = [{"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5}, {"family": "cnn", "depth": 3}]
LISTS = {"datasets": ["digits"], "architectures": NETWORKS, "attacks": ["pgd", "pgd_margin"], "seeds": 2}

"""Certified robustness of infinitely wide ReLU MLPs: lower bounds of margins that hold for every attack."""

"""What a kernel matrix, positive semi-definite in exact arithmetic, may show in float32, and what to do beyond that."""

from __future__ import annotations

SLACK = 1e-5
"""Negative eigenvalues down to −SLACK·λmax are what float32 entries explain."""
REMEDY = "remove duplicate images, lower the depth, or set compute.kernel_engine: neural_tangents"

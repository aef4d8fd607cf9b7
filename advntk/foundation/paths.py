"""How paths name the radius that a result is of.

What a file does not depend on is not in its path: a Gram matrix is shared by all methods, radii and attacks, and a
method that ignores the radius has one fit (``anyeps``) for all of them.
"""

from __future__ import annotations

ANY_RADIUS = "anyeps"


def radius_name(eps255: float) -> str:
    """A radius in paths: ``16`` or ``0.5``."""
    return f"{eps255:g}"


def trained_at(eps255: float, *, depends_on_radius: bool) -> str:
    """The part of a fit's path that names the radius it was trained for."""
    return f"eps{radius_name(eps255)}" if depends_on_radius else ANY_RADIUS

"""Where every result lives: one pattern a kind of file, formatted by the package and used as such by the rules.

What a file does not depend on is not in its path: a Gram matrix is shared by all methods, radii and attacks, and a
method that ignores the radius has one fit (``anyeps``) for all of them. Choices and checks are made on seed 0.
"""

from __future__ import annotations

PREPARED = "{data}/prepared/{prepared}.npz"
SPLIT = "{root}/splits/{dataset}/seed{seed}/split.json"
GRAM = "{root}/grams/{dataset}/seed{seed}/{architecture}/gram.npy"
GRAM_PART = "{root}/grams/{dataset}/seed{seed}/{architecture}/parts/{part}of{parts}.npy"
FIT = "{root}/fits/{dataset}/seed{seed}/{architecture}/{method}/{trained_at}/fit.json"
CHOICE = "{root}/choices/{dataset}/{architecture}/{method}/{trained_at}/choice.json"
CHECK = "{root}/checks/{dataset}/{architecture}/{method}/{trained_at}/check.json"
CHUNK = "{root}/records/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{attack}.chunks/{chunk}.npz"
SWEEP = "{root}/sweeps/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{sweep}.json"
FINDING = "{root}/experiments/{experiment}/{unit}.json"
TRANSFER = "{root}/transfers/{dataset}/seed{seed}/eps{eps255}/{attack}.json"
RECORD = "{root}/records/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{attack}.json"

ANY_RADIUS = "anyeps"


def radius_name(eps255: float) -> str:
    """A radius in paths: ``16`` or ``0.5``."""
    return f"{eps255:g}"


def trained_at(eps255: float, *, depends_on_radius: bool) -> str:
    """The part of a fit's path that names the radius it was trained for."""
    return f"eps{radius_name(eps255)}" if depends_on_radius else ANY_RADIUS

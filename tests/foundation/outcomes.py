"""Outcomes of test images, drawn from models in which the truth is known."""

import itertools
import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

SHOWN = {"shared": 1.0, "some": 2.25, "own": None}
"""Images of the pool over those of a test set; None: each seed has its own."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(101)


def apart(outcomes):
    """Images of each seed's own."""
    ends = np.cumsum([0, *map(len, outcomes)])
    return [np.arange(low, high) for low, high in itertools.pairwise(ends)]


def paired(n11, n10, n01, n00):
    """Outcomes of two methods with these joint counts (both right, only the first, only the second, none)."""
    a = np.repeat([True, True, False, False], [n11, n10, n01, n00])
    b = np.repeat([True, False, True, False], [n11, n10, n01, n00])
    return a, b


def pools(rng, seeds, shown, n):
    """Which images each seed is shown, and how many there are."""
    pool = int(n * (SHOWN[shown] or seeds))
    own = np.arange(n * seeds).reshape(seeds, n)
    return [rng.permutation(pool)[:n] for _ in range(seeds)] if shown == "some" else list(own % pool), pool


def skill_of(truth, seed_sd):
    """Standard deviation of a seed's skill, in that of the score, that moves its accuracy by this much."""

    def more(skill):
        accuracy = ndtr((ndtri(truth) + skill * _NODES) / math.sqrt(1 - skill**2))
        return math.sqrt(_WEIGHTS @ (accuracy - truth) ** 2 / _WEIGHTS.sum()) - seed_sd

    return float(brentq(more, 0, 0.999)) if seed_sd else 0.0


def seen(rng, seeds, shown, truth, n, skill, common=0.5):
    """Outcomes of a method on images of unequal difficulty by seeds of unequal skill, and which images those are.

    A latent normal score of variance 1 decides.

    Args:
        rng: randomness.
        seeds: how many.
        shown: key of ``SHOWN``.
        truth: accuracy over all seeds and images.
        n: test images of a seed.
        skill: of ``skill_of``.
        common: share of the score's other variance that is the image's own, the same for all seeds.
    """
    images, pool = pools(rng, seeds, shown, n)
    easiness, rest = math.sqrt(common) * rng.standard_normal(pool), math.sqrt(1 - common)
    skills, left = ndtri(truth) + skill * rng.standard_normal(seeds), math.sqrt(1 - skill**2)
    return [s + left * (easiness[i] + rest * rng.standard_normal(n)) > 0
            for i, s in zip(images, skills, strict=True)], images  # fmt: skip


def seen_by_two(rng, seeds, shown, only, n, seed_sd, common=0.5):
    """Outcomes of two methods, and which images those are; how often one alone is right varies over seeds.

    Args:
        rng: randomness.
        seeds: how many.
        shown: key of ``SHOWN``.
        only: probability that only the first is right, and that only the second is.
        n: test images of a seed.
        seed_sd: of a seed's difference; small beside both probabilities, if not 0.
        common: share of the latent score's variance that is the image's own.
    """
    images, pool = pools(rng, seeds, shown, n)
    easiness, rest = math.sqrt(common) * rng.standard_normal(pool), math.sqrt(1 - common)
    first, second = [], []
    for i in images:
        shift, score = seed_sd / 2 * rng.standard_normal(), easiness[i] + rest * rng.standard_normal(n)
        both = rng.random(n) < 0.5
        alone, other = score > -ndtri(max(only[0] + shift, 0)), score < ndtri(max(only[1] - shift, 0))
        first.append(alone | (both & ~other))
        second.append(other | (both & ~alone))
    return first, second, images

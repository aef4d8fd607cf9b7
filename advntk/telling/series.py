"""What figures of several predictors share: the order of methods, the legend, attacks in words, intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from matplotlib.lines import Line2D

from advntk.foundation.records import AttackRecord
from advntk.foundation.statistics import Interval, accuracy_interval
from advntk.telling import labels


def in_order(methods: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Methods with their checkpoints, each once, in the configuration's order of methods."""
    known = dict.fromkeys(pairs)
    return [pair for method in methods for pair in known if pair[0] == method]


def method_handles(methods: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[Line2D]:
    """The legend's entries: one for each method and checkpoint."""
    colours = labels.method_colours(methods)
    return [
        Line2D(
            [],
            [],
            color=colours[method],
            marker=labels.marker(checkpoint),
            linestyle=labels.dashes(checkpoint),
            markersize=4.5,
            label=labels.method_label(method, checkpoint),
        )
        for method, checkpoint in in_order(methods, pairs)
    ]


def attack_in_words(attack: AttackRecord, varied: str = "") -> str:
    """Name and settings, such as ``pgd_margin (pgd, margin loss, 20 steps, 1 restart)``, without the one varied."""
    facts = [attack.kind] if attack.kind != attack.name else []
    if "loss" in attack.options:
        facts.append(f"{str(attack.options['loss']).replace('_', ' ')} loss")
    for key in ("steps", "restarts"):
        if key in attack.options and key != varied:
            number = attack.options[key]
            facts.append(f"{number} {key.removesuffix('s') if number == 1 else key}")
    if not attack.inside_threat_model:
        facts.append(labels.OUTSIDE)
    return f"{attack.name} ({', '.join(facts)})" if facts else attack.name


def span(numbers: Iterable[int]) -> str:
    """``797``, or ``100–797`` where numbers differ."""
    known = sorted(numbers)
    return "–".join(str(number) for number in dict.fromkeys((known[0], known[-1])))


def seeds_in_words(pairs: Iterable[tuple[Hashable, int]]) -> str:
    """How many seeds a line is of, from what each is of and its seed: ``3``, or ``1–3`` where lines differ."""
    seeds: dict[Hashable, set[int]] = {}
    for line, seed in pairs:
        seeds.setdefault(line, set()).add(seed)
    return span(map(len, seeds.values())) if seeds else "0"


def interval_of_counts(counts: Sequence[tuple[int, int]]) -> Interval:
    """Mean accuracy and its 95% interval over seeds and images, from (correct, total) of each seed.

    Which images are right is not known: they are taken to be the same for all seeds and right by as much in common as
    their numbers allow, so that the interval is not too narrow where seeds share their test images.

    Returns:
        (mean, low, high).
    """
    outcomes = [np.arange(total) < correct for correct, total in counts]
    return accuracy_interval(outcomes, [np.arange(total) for _, total in counts])


def top(percent: Iterable[float]) -> float:
    """Upper end of the vertical axis: the next ten above the largest value, and a little."""
    largest = max((value for value in percent if np.isfinite(value)), default=100.0)
    return float(min(100, 10 * np.ceil((largest + 1) / 10)) + 2)

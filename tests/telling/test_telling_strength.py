"""The figure of strength: what each line is, and where its panels get their sweeps from."""

from dataclasses import replace

import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import AttackRecord
from advntk.foundation.statistics import accuracy_interval, wilson
from advntk.foundation.strength import Sweep, SweepPoint
from advntk.foundation.threat import ThreatModel
from advntk.telling.contents import Suite
from advntk.telling.kinds.sweeps import line, strength
from advntk.telling.labels import method_colours
from advntk.telling.layout import style
from tests.telling.conftest import QUICK, placed

VALUES = {"radius": (0, 1, 2, 4, 8, 16, 32, 64, 128), "steps": (1, 2, 5, 10, 50, 200), "restarts": (1, 2, 5)}
MLP = Architecture(family="mlp", depth=3)
N = 200


def make(kind="radius", counts=(190, 100, 0), values=None, **changes):
    chosen = values or VALUES[kind][: len(counts)]
    options = {"loss": "margin", "steps": 20, "restarts": 1}
    points = [
        SweepPoint(value=value, robust_correct=count, robust_accuracy=count / N, interval=wilson(count, N))
        for value, count in zip(chosen, counts, strict=True)
    ]
    given = {
        "dataset": "digits", "architecture": MLP, "method": "at", "checkpoint": "last", "seed": 0, "kind": kind,
        "trained_at": ThreatModel(eps255=16), "split_hash": "s", "n_test": N, "clean_correct": 190, "points": points,
        "attack": AttackRecord(name="pgd_margin", kind="pgd", options=options, inside_threat_model=True, seed=5),
        "threat": ThreatModel(eps255=16), "provenance": {}, "timing": {},
    }  # fmt: skip
    return Sweep(**{**given, **changes})


def suite_of(sweeps, **changes):
    return Suite(config=SuiteConfig(**{**QUICK, **changes}), results=placed(sweeps))


def full(**changes):
    suite = suite_of([], **changes)
    config = suite.config
    sweeps = []
    for spec in config.specs():
        for place, method in enumerate(config.methods):
            for eps255 in config.eps255:
                for seed in range(config.seeds):
                    for kind, values in VALUES.items():
                        level = np.arange(len(values)) / len(values)
                        counts = np.maximum(0, 190 - 250 * level / (1 + place / 3) - seed).astype(int).tolist()
                        trained = None if method == "ntk" else ThreatModel(eps255=eps255)
                        own = {"method": method, "architecture": spec, "seed": seed, "trained_at": trained}
                        sweeps.append(make(kind, counts, values, threat=ThreatModel(eps255=eps255), **own))
    return replace(suite, results=placed(sweeps))


def panels(suite):
    with style():
        return strength(suite).axes


def drawn(axes, method="at"):
    """The line of a method: its points."""
    colour = method_colours([method])[method]
    found = [own for own in axes.lines if own.get_color() == colour and own.get_marker() not in ("None", "")]
    assert len(found) == 1
    return found[0].get_xydata()


def test_a_line_is_the_mean_over_seeds_with_the_tables_interval():
    (value, interval), *_ = line([make(counts=(100, 50)), make(counts=(120, 50), seed=1)])
    outcomes = [np.arange(N) < 100, np.arange(N) < 120]
    assert value == 0
    assert interval == accuracy_interval(outcomes, [np.arange(N)] * 2)
    assert interval[0] == pytest.approx(110 / N)


def test_a_radius_sweep_that_ended_counts_as_zero_beyond():
    points = dict(line([make(counts=(100, 0)), make(counts=(120, 60, 30), seed=1)]))
    assert [points[value][0] for value in (0, 1, 2)] == pytest.approx([0.55, 0.15, 0.075])


def test_a_strength_that_one_seed_lacks_is_left_out():
    short, long = make("steps", (100, 50)), make("steps", (120, 60, 30), seed=1)
    assert [value for value, _ in line([short, long])] == [1, 2]
    broken, robust = make(counts=(100, 50)), make(counts=(120, 60, 30), seed=1)
    assert [value for value, _ in line([broken, robust])] == [0, 1]


def test_a_kernel_without_a_radius_stands_once_in_each_row():
    kernel = {"method": "ntk", "checkpoint": "final", "trained_at": None}
    sweeps = [
        make(counts=(190, 100, 20 if eps255 == 16 else 10), **kernel, threat=ThreatModel(eps255=eps255))
        for eps255 in (16, 32)
    ]
    first, second = panels(suite_of(sweeps, seeds=1))
    assert drawn(first, "ntk")[-1] == pytest.approx((2, 100 * 20 / N))
    assert drawn(second, "ntk")[-1] == pytest.approx((2, 100 * 10 / N))


def test_a_row_has_only_what_was_trained_and_measured_at_its_radius():
    sweeps = [
        make(kind, (190, count, 0), trained_at=ThreatModel(eps255=eps255), threat=ThreatModel(eps255=eps255))
        for kind in ("radius", "steps")
        for eps255, count in ((16, 60), (32, 120))
    ]
    seen = [drawn(axes)[1, 1] for axes in panels(suite_of(sweeps, seeds=1))]
    assert seen == pytest.approx([30, 30, 60, 60])


def test_marks_of_clean_accuracy_and_radius():
    axes, *_ = panels(suite_of([make()], seeds=1))
    levels = {tuple(own.get_ydata()) for own in axes.lines if len(set(own.get_ydata())) == 1}
    uprights = {tuple(own.get_xdata()) for own in axes.lines if len(set(own.get_xdata())) == 1}
    assert (95, 95) in levels
    assert (16, 16) in uprights


@pytest.mark.parametrize(
    ("kind", "values", "scale"),
    [
        ("radius", (0, 2, 4, 8), "linear"),
        ("radius", (0, 1, 16, 255), "symlog"),
        ("steps", (1, 2, 3, 5), "symlog"),
        ("steps", (10, 11, 12, 13), "symlog"),
        ("restarts", (1, 2, 3, 4), "linear"),
    ],
)
def test_scales_hold_every_point_and_ticks_are_measured_values(kind, values, scale):
    axes, *_ = panels(suite_of([make(kind, (190, 90, 10, 0), values)], seeds=1))
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(values)
    assert max(values) < high
    assert set(axes.get_xticks()) <= set(values)
    assert max(values) in axes.get_xticks()


def test_one_point_is_drawn():
    axes, *_ = panels(suite_of([make("steps", (100,), (10,))], seeds=1))
    assert drawn(axes).tolist() == [[10, 50]]

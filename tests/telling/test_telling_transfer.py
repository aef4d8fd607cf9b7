"""The table and figure of transfer: rows are sources, columns targets, numbers are means over seeds."""

from dataclasses import replace

import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import AttackRecord
from advntk.foundation.statistics import accuracy_interval
from advntk.foundation.strength import Shown, Transfer
from advntk.foundation.threat import ThreatModel
from advntk.telling.contents import Suite
from advntk.telling.kinds.transfers import transfer, transfer_listings, transfers
from advntk.telling.layout import style
from tests.telling.conftest import QUICK, placed

N = 200
MLP = Architecture(family="mlp", depth=3)


def shown(method, spec=MLP):
    kind = "network" if method == "at" else "kernel"
    return Shown(architecture=spec, method=method, kind=kind, checkpoint="last" if method == "at" else "final")


def make(predictors, clean, robust, **changes):
    given = {
        "dataset": "digits", "seed": 0, "split_hash": "s", "threat": ThreatModel(eps255=16), "n_test": N,
        "attack": AttackRecord(name="pgd", kind="pgd", options={"steps": 20, "loss": "margin"},
                               inside_threat_model=True, seed=5),
        "predictors": predictors, "clean_correct": clean, "robust_correct": robust, "provenance": {}, "timing": {},
    }  # fmt: skip
    return Transfer(**{**given, **changes})


def suite_of(transfers, **changes):
    return Suite(config=SuiteConfig(**{**QUICK, **changes}), results=placed(transfers))


def pair(**changes):
    """AT listed before NTK; NTK's images leave AT at 120 of 200, AT's leave NTK at 40."""
    return make([shown("at"), shown("ntk")], [180, 190], [[100, 40], [120, 10]], **changes)


def full(**changes):
    suite = suite_of([], **changes)
    config = suite.config
    predictors = [shown(method, spec) for spec in config.specs() for method in config.methods]
    count = len(predictors)
    found = []
    for name in config.attacks:
        attack = pair().attack.model_copy(update={"name": name, "inside_threat_model": name == "pgd"})
        for eps255 in config.eps255:
            for seed in range(config.seeds):
                robust = np.random.default_rng(seed).integers(0, N + 1, (count, count)).tolist()
                own = {"threat": ThreatModel(eps255=eps255), "seed": seed, "attack": attack}
                found.append(make(predictors, [190] * count, robust, **own))
    return replace(suite, results=placed(found))


def row(frame, source, target):
    found = frame[(frame["source_method"] == source) & (frame["target_method"] == target)]
    assert len(found) == 1
    return found.iloc[0]


def test_frame_has_source_and_target_the_right_way_round():
    frame = transfers(suite_of([pair()], seeds=1))
    assert row(frame, "ntk", "at")["robust"] == pytest.approx(120 / N)
    assert row(frame, "at", "ntk")["robust"] == pytest.approx(40 / N)
    assert row(frame, "ntk", "at")["clean"] == pytest.approx(180 / N)
    assert list(frame["source_method"]) == ["ntk", "ntk", "at", "at"]  # the configuration's order, kernels first


def test_frame_is_the_mean_over_seeds_whatever_order_each_lists_its_predictors_in():
    turned = make([shown("ntk"), shown("at")], [170, 160], [[20, 140], [60, 80]], seed=1)
    frame = transfers(suite_of([turned, pair()]))
    found = row(frame, "ntk", "at")
    outcomes = [np.arange(N) < 120, np.arange(N) < 140]
    assert tuple(found[["robust", "lo", "hi"]]) == accuracy_interval(outcomes, [np.arange(N)] * 2)
    assert found["clean"] == pytest.approx((180 + 160) / 2 / N)
    assert found["seeds"] == 2


def test_table_answers_in_numbers():
    (listing,) = transfer_listings(suite_of([pair()], seeds=1))
    numbers = [cell.partition(" ±")[0] for cell in listing.lines[0]]
    assert numbers == ["mlp-3", "NTK", "AT (last)", "95.0", "90.0", "5.0", "50.0", "60.0", "20.0"]
    # (90 − 60) / (90 − 50) and (95 − 20) / (95 − 5)
    (answer,) = listing.notes
    assert "cost the finite network 75% of the accuracy" in answer
    assert "the network's cost the kernel 83%" in answer


def test_table_without_loss_to_own_images_or_without_pairs():
    idle = make([shown("ntk"), shown("at")], [190, 180], [[190, 180], [190, 180]])
    (listing,) = transfer_listings(suite_of([idle], seeds=1))
    assert "cost the finite network — of" in listing.notes[0]
    assert not list(transfer_listings(suite_of([], seeds=1)))
    (listing,) = transfer_listings(suite_of([make([shown("ntk")], [190], [[5]])], seeds=1))
    assert "Nothing was measured." in listing.body()


def test_figure_has_sources_in_rows_and_a_row_of_clean_accuracies():
    with style():
        (axes,) = transfer(suite_of([pair()], seeds=1)).axes
    places = {text.get_position(): int(text.get_text()) for text in axes.texts}
    assert [places[x, y] for y in (0.5, 1.5) for x in (0.5, 1.5)] == [5, 60, 20, 50]
    assert [int(text.get_text()) for text in axes.texts[-2:]] == [95, 90]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mlp-3 NTK", "mlp-3 AT (last)", "clean"]
    assert [patch.get_xy() for patch in axes.patches] == [(0, 0), (1, 1)]


def test_numbers_are_legible_on_their_cells():
    with style():
        (axes,) = transfer(suite_of([make([shown("ntk"), shown("at")], [N, N], [[0, 60], [120, N]])], seeds=1)).axes
        axes.figure.draw_without_rendering()
    colours = np.concatenate([mesh.get_facecolors() for mesh in axes.collections])[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    ink = np.array([0.0 if text.get_color() == "black" else 1.0 for text in axes.texts])
    bright, dark = np.maximum(luminance, ink), np.minimum(luminance, ink)
    assert ((bright + 0.05) / (dark + 0.05)).min() > 4.5  # WCAG's contrast for text

"""Costs: means, totals, images and rules by hand."""

import pandas as pd
import pytest

from advntk.foundation import files
from advntk.foundation.strength import Shown, Sweep, Transfer
from advntk.telling.cost import by_rule, cost, cost_listings
from advntk.telling.suite_file import read_suite

OUTSIDE = "reference_fixed_gradient"
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "methods": ["ntk", "at"]}
TWO = {**ONE, "architectures": [{"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5}]}


def test_evaluations_by_hand(build):
    suite = read_suite(build(**ONE, attacks=["pgd", OUTSIDE]).fill().write())
    frame = cost(suite)
    evaluations = frame[(frame["rule"] == "evaluate") & (frame["attack"] == "pgd")].set_index("method")
    for (
        _,
        row,
    ) in evaluations.iterrows():  # two radii and two seeds; the attack took 2 s with seed 0 and 3 s with seed 1
        assert row["jobs"] == 4
        assert row["attack_s"] == pytest.approx(10)
        assert (row["total_s"], row["mean_s"], row["max_s"]) == pytest.approx((20, 5, 5))
        assert row["peak_mb"] == 301
    assert evaluations["images"].to_dict() == {"ntk": 400, "at": 800}  # AT has two checkpoints
    assert evaluations["ms_per_image"].to_dict() == pytest.approx({"ntk": 10000 / 1600, "at": 10000 / 3200})
    _, attacks, digits = cost_listings(suite)
    assert attacks.lines[0] == ["pgd", "8", "20", "4800", "4.17"]
    assert attacks.lines[1][0] == f"{OUTSIDE} (outside threat model)"
    assert ["evaluate", "mlp-3", "AT", "pgd", "attack 10", "4", "20", "5", "5", "301", "800", "3.12"] in digits.lines


def test_grams_and_fits_count_once_whatever_radii_and_attacks(build):
    suite = read_suite(build(**{**TWO, "methods": ["ntk", "advntk", "at"]}, attacks=["pgd", OUTSIDE]).fill().write())
    frame = cost(suite).set_index(["rule", "method", "depth"])
    gram = frame.loc["gram", "", 3]
    assert (gram["jobs"], gram["total_s"], gram["peak_mb"]) == (2, 10, 501)  # 2 s and 3 s of parts, two seeds
    ntk, advntk, at = (
        frame.loc[rule, method, 5] for rule, method in (("fit", "ntk"), ("fit", "advntk"), ("train", "at"))
    )
    assert (ntk["jobs"], ntk["total_s"], ntk["max_s"]) == (2, 21, 11)  # one fit for both radii, 10 s and 11 s
    assert (advntk["jobs"], at["jobs"]) == (4, 4)
    assert (advntk["solve_s"], advntk["attack_s"]) == (16, 12)
    assert pd.isna(at["attack_s"])
    assert pd.isna(advntk["ms_per_image"])


def test_rules_add_up(build):
    suite = read_suite(build(**TWO).fill().write())
    frame, listing = cost(suite), by_rule(suite)
    table = {line[0]: line for line in listing.lines}
    assert list(table) == ["gram", "fit", "train", "evaluate", "total"]
    for rule, line in table.items():
        mine = frame if rule == "total" else frame[frame["rule"] == rule]
        assert int(line[1]) == mine["jobs"].sum()
        assert float(line[2]) == pytest.approx(mine["total_s"].sum(), rel=5e-3)
        assert float(line[4]) == mine["max_s"].max()
        assert float(line[5]) == pytest.approx(100 * mine["total_s"].sum() / frame["total_s"].sum(), abs=0.051)
    *_, digits = cost_listings(suite)
    total = digits.lines[-1]
    assert (total[0], int(total[5]), float(total[6])) == ("total", frame["jobs"].sum(), frame["total_s"].sum())


def test_an_attack_in_chunks_is_told_apart_from_the_evaluation_that_gathers_it(build):
    builder = build(**{**ONE, "methods": ["ntk"]}, eps255=[16], seeds=2, attacks=["autoattack"])
    builder.attack_options["autoattack"] = {"chunks": 4}
    frame = cost(read_suite(builder.fill().write())).set_index("rule")
    assert (frame.loc["attack", "jobs"], frame.loc["attack", "total_s"], frame.loc["attack", "max_s"]) == (2, 5, 3)
    assert frame.loc["attack", "ms_per_image"] == pytest.approx(1000 * 5 / 800)
    assert pd.isna(frame.loc["attack", "peak_mb"])
    assert frame.loc["evaluate", "total_s"] == 10
    assert pd.isna(frame.loc["evaluate", "attack_s"])


def test_sweeps_and_transfers_count(build):
    builder = build(**ONE, eps255=[16], seeds=1).fill()
    content = files.read_json(builder.write())
    record = read_suite(builder.write()).measured[0].record
    shared = {"dataset": "digits", "seed": 0, "split_hash": "digits0", "attack": record.attack, "threat": record.threat}
    shared |= {"n_test": 400, "provenance": {}, "timing": {"wall_s": 7.0, "peak_mb": 90.0}}
    own = {"architecture": record.architecture, "method": "ntk", "checkpoint": "final", "trained_at": None}
    sweep = Sweep(**shared, **own, kind="radius", clean_correct=1, points=[])
    shown = Shown(architecture=record.architecture, method="ntk", kind="kernel", checkpoint="final")
    transfer = Transfer(**shared, predictors=[shown], clean_correct=[1], robust_correct=[[1]])
    for name, result in (("sweeps", sweep), ("transfers", transfer)):
        place = builder.folder / f"{name}.json"
        files.write_json(place, result.model_dump(mode="json"))
        content[name] = [str(place)]
    files.write_json(builder.folder / "suite.json", content)
    frame = cost(read_suite(builder.folder / "suite.json")).set_index("rule")
    assert frame.loc[["sweep", "transfer"], "total_s"].tolist() == [7, 7]
    assert (frame.loc["transfer", "architecture"], frame.loc["sweep", "depth"]) == ("", 3)


def test_checkpoints_that_are_one_step_count_once(build):
    builder = build(**ONE, eps255=[16], seeds=1).fill()
    spec = builder.config.specs()[0]
    same = {"last": 0.8, "best_val": 0.8}
    builder.rates = lambda spec, method, checkpoint, attack, eps255: (0.9, same[checkpoint])
    builder.record("digits", spec, "at", 16, "pgd", 0)
    frame = cost(read_suite(builder.write())).set_index(["rule", "method"])
    assert frame.loc[("evaluate", "at"), "images"] == 400


def test_results_without_times_are_left_out(build):
    builder = build(**ONE, eps255=[16], seeds=1).fill()
    builder.record("digits", builder.config.specs()[0], "at", 16, "pgd", 0, timing={})
    (fit,) = [place for place in builder.fits if "/at/" in place]
    files.write_json(fit, {**files.read_json(fit), "timing": {"wall_s": 1.0}})
    assert cost(read_suite(builder.write()))["rule"].tolist() == ["gram", "fit", "evaluate"]

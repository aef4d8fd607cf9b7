"""Costs: means, totals and images by hand."""

import pytest

from advntk.telling.cost import COLUMNS, cost_frame, write_cost
from advntk.telling.frames import read_suite

ONE = {"architectures": [{"family": "mlp", "depth": 3}], "methods": ["ntk", "at"]}


def test_means_and_totals_by_hand(build, tmp_path):
    suite = read_suite(build(**ONE, attacks=["pgd", "reference_fixed_gradient"]).fill().write())
    frame = cost_frame(suite)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 2 * 2
    ntk, at = (frame[(frame["method"] == method) & (frame["attack"] == "pgd")].iloc[0] for method in ("ntk", "at"))
    for row in (ntk, at):  # two radii and two seeds; the attack took 2 s with seed 0 and 3 s with seed 1
        assert row["evaluations"] == 4
        assert row["attack_s"] == pytest.approx(2.5)
        assert row["total_attack_s"] == pytest.approx(10)
        assert row["wall_s"] == pytest.approx(5)
        assert row["peak_mb"] == 301
    assert (ntk["images"], at["images"]) == (400, 800)  # AT has two checkpoints
    assert ntk["ms_per_image"] == pytest.approx(2500 / 400)
    write_cost(suite, tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert text.count("only the time since its restart is counted") == 2
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["pgd", "8", "20", "4800", "4.17"] in cells
    assert ["mlp-3", "AT", "pgd", "4", "2.5", "5", "800", "3.12", "301"] in cells
    assert "reference_fixed_gradient (outside threat model)" in text


def test_checkpoints_that_are_one_step_count_once(build):
    builder = build(**ONE, eps255=[16], seeds=1).fill()
    spec = builder.config.specs()[0]
    same = {"last": 0.8, "best_val": 0.8}
    builder.rates = lambda spec, method, checkpoint, attack, eps255: (0.9, same[checkpoint])
    builder.record("digits", spec, "at", 16, "pgd", 0)
    frame = cost_frame(read_suite(builder.write()))
    assert frame.loc[frame["method"] == "at", "images"].tolist() == [400]


def test_records_without_times_are_left_out(build):
    builder = build(**ONE, eps255=[16], seeds=1).fill()
    builder.record("digits", builder.config.specs()[0], "at", 16, "pgd", 0, timing={})
    assert cost_frame(read_suite(builder.write()))["method"].tolist() == ["ntk"]

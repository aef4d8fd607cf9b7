"""The table of results: the frame's numbers in print, footnotes, stages of attacks, settings in words."""

import pytest

from advntk.foundation.records import AttackRecord
from advntk.telling.frames import read_suite, results_frame
from advntk.telling.tables import results_listings, write_table

OUTSIDE = "reference_fixed_gradient"
NAMES = {
    ("ntk", "final"): "NTK",
    ("early_stopped_ntk", "final"): "early-stopped NTK",
    ("advntk", "last"): "Adv-NTK (last)",
    ("advntk", "best_val"): "Adv-NTK (best on val)",
    ("at", "last"): "AT (last)",
    ("at", "best_val"): "AT (best on val)",
}


@pytest.fixture
def written(build, tmp_path):
    """A suite with an attack outside the threat model and one doubt, and its table in Markdown."""
    builder = build(attacks=["pgd", OUTSIDE], seeds=2)
    builder.flags["ntk", "final", 1] = ["50% of gradients are 0 & λ_max > 1e5"]
    suite = read_suite(builder.fill().write())
    write_table("robust_accuracy", suite, tmp_path / "t.csv")
    return suite, (tmp_path / "t.md").read_text()


def cells_of(suite):
    """Cells by the title of the table, network, method and column."""
    return {
        (listing.title, *line[:2], title): cell
        for listing in results_listings(suite)
        for line in listing.lines
        for title, cell in zip(listing.head[2:], line[2:], strict=True)
    }


def test_print_holds_every_number_of_the_frame(written):
    suite, _ = written
    cells, seen = cells_of(suite), set()
    titles = {"pgd": "pgd", OUTSIDE: f"{OUTSIDE} (outside threat model)"}
    for row in results_frame(suite).itertuples():
        table = f"digits, {row.architecture}, ε = {row.eps255:g}/255 (ℓ∞)"
        line = (table, f"{row.architecture}-{row.depth}", NAMES[row.method, row.checkpoint])
        for title, kind in (("clean", "clean"), (titles[row.attack], "robust")):
            mean, low, high = (100 * getattr(row, f"{kind}_{end}") for end in ("mean", "lo", "hi"))
            assert cells[*line, title].partition(" [")[0] == f"{mean:.1f} ± {(high - low) / 2:.1f}"
            seen.add((*line, title))
    assert seen == set(cells)


def test_captions_and_footnotes(written):
    suite, text = written
    assert "n_test = 400, n_train = 800, seeds = 2" in text
    assert "outside threat model: its points may lie beyond ε" in text
    assert "* [a] 50% of gradients are 0 & λ_max > 1e5 (seed 1)" in text
    marked = {place for place, cell in cells_of(suite).items() if "[a]" in cell}
    assert marked == {place for place in cells_of(suite) if place[2] == "NTK" and place[3] != "clean"}


def test_stages_of_an_attack_stand_below_the_grids(build):
    builder = build(attacks=["pgd", "autoattack"], eps255=[16], methods=["ntk", "at"]).fill()
    *_, stages = results_listings(read_suite(builder.write()))
    assert stages.title == "digits, ε = 16/255 (ℓ∞): stages of autoattack"
    clean, robust = builder.rates(builder.config.specs()[0], "at", "last", "autoattack", 16)
    n = builder.n_test  # seed 1 has 4 more clean and 6 fewer robust examples
    counts = [(round(n * clean) + 4 * seed, round(n * robust) - 6 * seed) for seed in range(2)]
    after = [right - (right - standing) // 2 for right, standing in counts]
    numbers = [sum(pair) / 2 / n for pair in (*zip(*counts, strict=True), after)]
    (line,) = [line for line in stages.lines if line[:2] == ["mlp-3", "AT (last)"]]
    assert line[2:] == [f"{100 * numbers[i]:.1f}" for i in (0, 2, 1)]
    assert len(stages.lines) == 3 * 3


def test_settings_are_words(build, tmp_path):
    builder = build(attacks=["pgd"], methods=["ntk"])
    spec = builder.config.specs()[0]
    attack = AttackRecord(
        name="pgd", kind="autoattack", options={"attacks": ["apgd-ce", "square"], "cascade": True}, seed=0,
        inside_threat_model=True,
    )  # fmt: skip
    for eps255 in builder.config.eps255:
        for seed in range(2):
            builder.record("digits", spec, "ntk", eps255, "pgd", seed, attack=attack)
    write_table("robust_accuracy", read_suite(builder.write()), tmp_path / "t.csv")
    assert "* attack `pgd`: autoattack: attacks apgd-ce + square, cascade True\n" in (tmp_path / "t.md").read_text()


def test_one_seed_is_said(build):
    listings = results_listings(read_suite(build(seeds=1).fill().write()))
    assert all("one seed: the spread over seeds is not in it" in listing.caption for listing in listings)


def test_a_kernel_fit_made_at_another_width_is_shown(build):
    builder = build(methods=["ntk"], eps255=[16], seeds=1, architectures=[{"family": "mlp", "depth": 3}])
    spec = builder.config.specs()[0]
    builder.record("digits", spec, "ntk", 16, "pgd", 0, architecture=spec.model_copy(update={"width": 7}))
    assert len(cells_of(read_suite(builder.write()))) == 2
